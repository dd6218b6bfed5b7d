"""Clients against the API on a port, with embedded AWS behind it; empty for each test."""

from support.client_fixtures import bootstrapped, served_world, world

__all__ = ["bootstrapped", "served_world", "world"]
