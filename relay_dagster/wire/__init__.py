"""Requests and answers of ``/v1``: one model each, for the API and for its client.

Pydantic models alone: nothing here knows HTTP, a store or a terminal, and importing it is cheap.
"""
