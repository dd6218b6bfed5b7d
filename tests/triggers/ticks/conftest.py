"""Worlds of pulls, for the tests of what is pulled."""

from support.pulls_fixtures import served, world

__all__ = ["served", "world"]
