"""The audit's entries in a table of their own."""
