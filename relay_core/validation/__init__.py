"""Contracts of rows, the error policy, guards and failed vendors."""
