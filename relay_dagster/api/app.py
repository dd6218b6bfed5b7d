"""The API that ``relay api`` serves; ``assembly.py`` puts it together."""

from relay_dagster.loading import loaded_for_good

with loaded_for_good():
    from relay_dagster.api.assembly import ENGINE_MODULES, create_app, serve

__all__ = ["ENGINE_MODULES", "create_app", "serve"]
