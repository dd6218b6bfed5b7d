"""A tenant's feed: which is in force, which is held back, and how either changes."""
