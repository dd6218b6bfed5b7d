"""Relay's engine: vendors' feeds in, one exact, priced feed out. No Dagster, no AWS, no clock."""
