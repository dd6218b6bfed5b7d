"""Facts and rules of tenants: the audit, the scopes of keys, refusals, and deletion."""
