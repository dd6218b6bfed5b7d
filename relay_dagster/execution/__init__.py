"""Inside the run's process: its session, attempt, inputs, reports and publication."""
