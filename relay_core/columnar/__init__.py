"""Whole columns at once: text, numbers, timestamps, sorting, CSV; no business words."""
