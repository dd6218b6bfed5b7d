"""Sends events that are due to webhooks: signed, to receivers that nobody trusts."""
