"""Requests and responses of ``/v1``, for the API and its client. They load quickly."""
