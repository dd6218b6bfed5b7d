"""Whole columns at once: text, numbers, timestamps, sorting, CSV and JSON; no business words."""
