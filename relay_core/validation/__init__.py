"""Contracts of rows and their checks by Pandera, the error policy, guards, failed vendors."""
