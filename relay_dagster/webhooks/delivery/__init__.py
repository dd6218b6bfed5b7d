"""Sends webhooks: what is due, signed, to receivers that nobody trusts."""
