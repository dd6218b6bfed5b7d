"""Worlds of pulls, for the tests with servers as the field has them."""

from support.pulls_fixtures import served, world

__all__ = ["served", "world"]
