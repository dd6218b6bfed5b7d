"""A run's report as data: its blocks, its chapters, and report.html made of them."""
