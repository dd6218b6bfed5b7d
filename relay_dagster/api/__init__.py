"""The HTTP API over the ledger and the stores. Its process never loads Dagster."""
