"""The Dagster component: one merchant's feed in anybody's Dagster project, without our system."""
