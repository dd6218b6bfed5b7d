"""The instants of one run on its way, what lies between them, and how Dagster tells of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import dagster as dg

STARTED_MESSAGE = "Started process for run"


@dataclass(frozen=True)
class Instants:
    """When things happened to one run, in seconds since the epoch, in this order."""

    asked: float
    accepted: float
    dispatched: float
    launched: float
    process_up: float
    begun: float
    ended: float
    shown: float

    @property
    def total(self) -> float:
        """Seconds from asking until whoever asked can see the end."""
        return self.shown - self.asked

    @property
    def execution(self) -> float:
        """Seconds from the end of Dagster's queue until the run has ended."""
        return self.ended - self.launched

    def phases(self) -> dict[str, float]:
        """Return the seconds of each phase."""
        instants = [getattr(self, field.name) for field in fields(self)]
        spent = (later - earlier for earlier, later in pairwise(instants))
        return dict(zip(PHASES, spent, strict=True))


PHASES = (
    "accepted",
    "sensor has the message",
    "queued and launched",
    "process and Dagster's imports",
    "our imports, Definitions",
    "the run itself",
    "shown",
)
"""What lies between two instants of ``Instants``."""


@dataclass(frozen=True)
class DagsterInstants:
    """What a Dagster run's event log says."""

    launched: float
    process_up: float
    begun: float
    ended: float


def dagster_instants(
    instance: dg.DagsterInstance, dagster_run_id: str
) -> DagsterInstants:
    """Read the instants of a run that has ended from its event log."""
    by_type: dict[str, float] = {}
    process_up = 0.0
    for entry in instance.all_logs(dagster_run_id):
        event = entry.dagster_event
        if event is None:
            continue
        by_type.setdefault(event.event_type_value, entry.timestamp)
        if event.message and event.message.startswith(STARTED_MESSAGE):
            process_up = entry.timestamp
    return DagsterInstants(
        launched=by_type["PIPELINE_STARTING"],
        process_up=process_up,
        begun=by_type["PIPELINE_START"],
        ended=by_type["PIPELINE_SUCCESS"],
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of some values, between two of them where need be."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
