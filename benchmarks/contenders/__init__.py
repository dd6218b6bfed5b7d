"""Whoever does the work: each module has one ``run(folder, out)`` from feeds to files.

Peers do the same work as the engine on the rows that ``feeds`` writes, byte for byte in both kinds
of CSV, and know only so many of its rules as these rows need. Each is written to be as fast as we
could make it.
"""
