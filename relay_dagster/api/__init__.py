"""The HTTP API: thin routes over the ledger and the stores. Its process never loads Dagster."""
