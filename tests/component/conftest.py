"""A project of its own for each test."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from support.merchant_feeds import Project


@pytest.fixture
def project(tmp_path: Path, instance: dg.DagsterInstance) -> Project:
    return Project(tmp_path, instance)
