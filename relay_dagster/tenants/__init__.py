"""What is said of a tenant: audit's words, scopes of keys, its closing and deletion."""
