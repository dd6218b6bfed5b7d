"""How runs start: the code server, its warm process, and what a run loads."""
