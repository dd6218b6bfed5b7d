"""What a feed's bytes, headers and cells say of how it is written; each guess stands alone."""
