"""Requests and answers of ``/v1``, for the API and its client; pydantic alone, cheap to load."""
