"""What the API answers, laid out for people."""
