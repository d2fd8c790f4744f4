"""The program `sonar`: the only part of the core that may import typer and rich."""
