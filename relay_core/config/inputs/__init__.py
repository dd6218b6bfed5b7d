"""The inputs of a config: the parts of each, its files of changes, and their rules."""
