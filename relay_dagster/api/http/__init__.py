"""The frame of every request and answer: limits, parsing, errors, the OpenAPI document."""
