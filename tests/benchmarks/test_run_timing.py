from __future__ import annotations

import dagster as dg
import pytest

from benchmarks.empty_job import empty_defs
from benchmarks.run_timing import PHASES, Instants, dagster_instants, percentile


def test_the_phases_of_a_run_add_up_to_all_of_it() -> None:
    instants = Instants(10.0, 11.0, 13.0, 16.0, 20.0, 25.0, 31.0, 38.0)
    phases = instants.phases()
    assert tuple(phases) == PHASES
    assert list(phases.values()) == [1, 2, 3, 4, 5, 6, 7]
    assert sum(phases.values()) == instants.total


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [([5.0], 95, 5.0), ([1.0, 2.0, 3.0], 50, 2.0), (list(range(101)), 95, 95)],
)
def test_percentiles_lie_between_the_values(
    values: list[float], percent: int, found: float
) -> None:
    assert percentile(values, percent) == pytest.approx(found)


def test_the_empty_job_is_three_assets_and_a_sensor_that_starts_them() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("bench", ["one"])
        job = empty_defs("bare").resolve_job_def("bare_job")
        result = job.execute_in_process(partition_key="one", instance=instance)
        assert result.success
        assert len(result.asset_materializations_for_node("bare_third")) == 1
        logged = {
            e.dagster_event.event_type_value
            for e in instance.all_logs(result.run_id)
        }
    assert {"PIPELINE_START", "PIPELINE_SUCCESS"} <= logged


def test_a_run_that_was_never_launched_has_no_instants() -> None:
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(KeyError):
        dagster_instants(instance, "nothing")
