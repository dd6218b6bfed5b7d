"""Parquet: typed columns as text."""
