"""Inside the run's process: its steps, its attempt, its inputs, its reports, its publication."""
