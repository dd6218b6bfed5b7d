"""What becomes of a tenant that is to be deleted: its states, and what stops at once."""
