"""Tenants' triggers in the runs table."""
