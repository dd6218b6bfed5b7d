"""Callers: their keys, sessions and links, their scopes, their rates."""
