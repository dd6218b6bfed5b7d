"""All that Dagster sees: assets, checks, metadata, jobs, partitions, sensors, resources."""
