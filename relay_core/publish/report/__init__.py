"""report.html: what a merchant reads of a run, on one page that fetches and runs nothing."""
