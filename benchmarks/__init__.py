"""The engine and the stack against their peers on the same work, one command each.

Nothing here is imported by the product. ``make bench`` and ``make bench-runs`` are the commands.
"""
