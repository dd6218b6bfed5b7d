"""A whole installation on one machine, for trying out; nothing in production imports it."""
