"""The merged feed as the tenant's shop reads it: its fields, and a writer a format."""
