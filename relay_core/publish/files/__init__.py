"""A file of the feed's rows: its columns, and a module for each format."""
