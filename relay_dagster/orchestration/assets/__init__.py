"""The three assets, one a module; what they do is in ``run_session`` and in the engine."""
