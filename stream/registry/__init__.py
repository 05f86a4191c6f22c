"""Which models there are, which one serves, and how that changes."""
