"""Clients against the API on a port, with embedded AWS behind it; empty for each test."""

from support.client_fixtures import served_world, world

__all__ = ["served_world", "world"]
