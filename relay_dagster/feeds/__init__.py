"""A tenant's feed: the one in force, the one held back, and how either changes."""
