"""Feeds, artifacts and work files in S3."""
