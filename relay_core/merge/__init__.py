"""Offers to one priced winner a SKU."""
