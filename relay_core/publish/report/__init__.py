"""report.html: a run's page for merchants, which loads and runs nothing."""
