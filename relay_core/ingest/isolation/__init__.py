"""Feeds whose bytes can ask for any memory, read in a process of their own."""
