"""Tenants' webhooks: made and changed, tried out, and what became of their deliveries."""
