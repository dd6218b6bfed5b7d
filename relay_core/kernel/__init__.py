"""The compiled reading kernel: the text of a feed to packed rows, in one pass."""
