"""Tenants' webhooks in the tenants table, and their events in the runs table."""
