"""Carries tenants' deletions out: what is removed in which order, a tick at a time."""
