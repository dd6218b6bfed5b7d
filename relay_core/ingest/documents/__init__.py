"""Readers of documents whose records are at a path: JSON and XML."""
