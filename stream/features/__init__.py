"""What is known of a transaction when it is scored."""
