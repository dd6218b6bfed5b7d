"""Requests and responses: limits, parsing, errors, and the OpenAPI document."""
