"""The process that serves the API and the pages."""
