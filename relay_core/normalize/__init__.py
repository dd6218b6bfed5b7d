"""Text columns to one vendor's offers, rejected rows, normalized.csv and work file."""
