"""What the repository is tended with, and nothing that is installed."""
