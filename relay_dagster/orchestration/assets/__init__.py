"""The three assets, one a module; what they do is in ``execution/session.py`` and in the engine."""
