"""Who may do what, and who did: tenants' keys, and the audit."""
