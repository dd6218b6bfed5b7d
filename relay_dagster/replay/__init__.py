"""Runs gone through once more on this machine, over links alone; nothing is stored."""
