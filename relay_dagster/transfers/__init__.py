"""Calls to servers that nobody trusts: files that are pulled, and webhooks that are sent."""
