"""Everything that knows Dagster, AWS or HTTP; importing this package wires nothing."""
