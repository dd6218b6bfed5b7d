"""The product's Celery app, and beside it what its runs are measured against, loaded as early."""

# Loaded once in the parent; the children that execute runs are forked from it.
import benchmarks.empty_bare
import benchmarks.empty_loaded  # noqa: F401
from relay_dagster.celery_app import app

__all__ = ["app"]
