"""Codes, columns, limits, errors and small values that all steps of a run share."""
