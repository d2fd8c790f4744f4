"""How sonar proves who the user is: `Basic` and `Bearer`, each a plugin of its own."""
