"""Side by side with other clients: `make bench`, or `python -m benchmarks NAME…` for some of them."""
