"""A look at a feed's first bytes: what it is, and what to change in the config."""
