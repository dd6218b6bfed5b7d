"""What a run leaves: keys and reports."""
