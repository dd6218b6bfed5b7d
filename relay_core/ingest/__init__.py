"""A vendor's bytes to text columns with row numbers."""
