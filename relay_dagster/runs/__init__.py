"""A run and the rules of its life; pure: no Dagster, no AWS, no clock of its own."""
