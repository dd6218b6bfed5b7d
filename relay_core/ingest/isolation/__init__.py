"""Formats whose bytes can make a library take any memory, read in a process of their own."""
