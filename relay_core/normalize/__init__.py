"""Text columns to one vendor's offers, refused rows, normalized.csv and work file."""
