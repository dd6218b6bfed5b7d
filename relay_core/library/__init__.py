"""Runs, checks, and first configs over files of this machine, for programs and commands."""
