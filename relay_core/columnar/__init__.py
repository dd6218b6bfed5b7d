"""Whole columns at once: text, numbers, timestamps, sorting, CSV and JSON text.

No business words: what a SKU, a vendor or a price is, other folders say.
"""
