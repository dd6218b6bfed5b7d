"""The process that executes a run: session, attempt, inputs, and the run's files."""
