"""Webhooks, their events, and the rules of both; no AWS, no network, no clock."""
