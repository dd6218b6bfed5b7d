"""The engine and the stack against their peers on the same work, one command each.

Nothing here is imported by the product. The commands are ``make bench``, ``make bench-runs``,
``make bench-api`` and ``make profile``.
"""
