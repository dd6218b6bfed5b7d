"""What every request passes, whether a route of the API or a page answers it.

Connections and their limits, callers and their rights, and errors as problems.
"""
