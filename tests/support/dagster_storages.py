"""Dagster instances on each storage that is supported, with what lists all that they keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster import instance_for_test

from support.deployment import DEPLOY
from support.postgres_server import DATABASE, USER, running_postgres
from support.tenant_leftovers import kept_by_dagster, kept_by_database


@contextmanager
def of_sqlite(
    folder: Path,
) -> Iterator[tuple[dg.DagsterInstance, Callable[[], dict[str, str]]]]:
    """Yield an instance as on one machine, and what tells all that it keeps."""
    with instance_for_test(temp_dir=str(folder)) as instance:
        yield instance, lambda: kept_by_dagster(folder)


@contextmanager
def with_kept_connections(
    folder: Path,
) -> Iterator[tuple[dg.DagsterInstance, Callable[[], dict[str, str]]]]:
    """Yield an instance as in the development stack, and what tells all that it keeps."""
    custom = {
        "module": "relay_dagster.orchestration.sqlite_storage",
        "class": "SqliteStorage",
        "config": {"base_dir": str(folder)},
    }
    with instance_for_test(
        overrides={"storage": {"custom": custom}}, temp_dir=str(folder)
    ) as instance:
        yield instance, lambda: kept_by_dagster(folder)


@contextmanager
def of_postgres(
    folder: Path,
) -> Iterator[tuple[dg.DagsterInstance, Callable[[], dict[str, str]]]]:
    """Yield an instance with the storage of deploy/dagster.yaml, and what tells all it keeps."""
    storage = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["storage"]
    with running_postgres() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.variables().items():
            patch.setenv(name, value)
        scheme = storage["postgres"]["postgres_db"]["scheme"]
        url = f"{scheme}://{USER}:{server.password}@{server.host}:{server.port}/{DATABASE}"
        with instance_for_test(
            overrides={"storage": storage}, temp_dir=str(folder)
        ) as instance:
            yield (
                instance,
                lambda: {**kept_by_database(url), **kept_by_dagster(folder)},
            )


STORAGES = [
    pytest.param(of_sqlite, id="sqlite"),
    pytest.param(with_kept_connections, id="kept connections"),
    pytest.param(of_postgres, id="postgres", marks=pytest.mark.integration),
]
