"""Dagster's pages behind a guard: no foreign page presses their buttons or reads them."""
