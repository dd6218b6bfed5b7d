"""The API, loaded for a process that serves it; ``assembly.py`` puts it together."""

from relay_dagster.loading import loaded_for_good

with loaded_for_good():
    from relay_dagster.server.assembly import create_app, serve

__all__ = ["create_app", "serve"]
