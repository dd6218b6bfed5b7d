"""A tenant's feed: the live one, the one on hold, and how either changes."""
