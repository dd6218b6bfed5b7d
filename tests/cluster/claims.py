"""What must hold on more than one machine: each function's first line is the claim.

They follow one another on one cluster; what each returns is shown beside its claim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cluster.machines import Machine
from cluster.workers import REDIS, SLOTS, Cluster
from integration import sample_tenant
from integration.installation import brief
from integration.settled import everything_settled
from integration.waiting import wait_for
from relay_core.domain.codes import RunStatus
from relay_dagster.runs.model import RunRecord

Claim = Callable[[Cluster, Sequence[str]], str]


def runs_spread(cluster: Cluster, tenants: Sequence[str]) -> str:
    """Runs spread over both workers."""
    with _held(cluster, tenants) as runs:
        executing = cluster.wait_executing(runs, cluster.capacity())
        spread = Counter(cluster.worker_of(record) for record in executing)
        assert spread == dict.fromkeys(_names(cluster), SLOTS), (
            f"at once: {dict(spread)}"
        )
    records = [_succeeded(cluster, run_id, attempt=1) for run_id in runs]
    return ", ".join(
        f"{record.tenant_id} on {cluster.worker_of(record)}"
        for record in records
    )


def nothing_is_left_on_disks(cluster: Cluster, tenants: Sequence[str]) -> str:
    """Workers keep nothing on their disks and share none: what a run leaves is in S3."""
    for machine in cluster.machines.others:
        files = machine.files(cluster.pid(machine))
        assert files == ["dagster/dagster.yaml"], (
            f"{machine.name} keeps {files}"
        )
        if machine.namespace:
            _has_its_own_disk(cluster, machine)
    has_namespaces = all(
        machine.namespace for machine in cluster.machines.others
    )
    disks = (
        "each has a disk of its own"
        if has_namespaces
        else "each has a folder of its own on one disk"
    )
    return f"{disks}, and on it its settings alone"


def _has_its_own_disk(cluster: Cluster, machine: Machine) -> None:
    assert not machine.folder.exists(), f"{machine.folder} is seen from here"
    for neighbor in cluster.machines.others:
        sees = machine.sees(cluster.pid(machine), neighbor.folder)
        assert sees is (neighbor is machine), (
            f"{machine.name} sees {neighbor.folder}: {sees}"
        )


def a_killed_worker_loses_nothing(
    cluster: Cluster, tenants: Sequence[str]
) -> str:
    """A worker that is killed with all its processes in a burst loses nothing."""
    victim, survivor = cluster.machines.others
    with _held(cluster, tenants) as runs:
        executing = cluster.wait_executing(runs, cluster.capacity())
        doomed = {
            record.run_id
            for record in executing
            if cluster.worker_of(record) == victim.name
        }
        assert doomed, f"no run executed on {victim.name}"
        killed = len(cluster.processes(victim))
        cluster.kill(victim.name)
        wait_for(
            "all are dead", lambda: not cluster.processes(victim), within=10
        )
    for run_id in runs:
        record = _succeeded(
            cluster, run_id, attempt=2 if run_id in doomed else 1
        )
        assert (
            run_id not in doomed or cluster.worker_of(record) == survivor.name
        ), brief(record)
    return (
        f"{victim.name}: {killed} processes, {len(doomed)} runs killed; these succeeded on "
        f"{survivor.name} as attempt 2, {len(runs) - len(doomed)} others as attempt 1"
    )


def a_lost_broker_loses_nothing(
    cluster: Cluster, tenants: Sequence[str]
) -> str:
    """A broker that is killed and comes back empty, while runs execute, loses nothing."""
    cluster.start_missing_workers()
    with _held(cluster, tenants) as runs:
        cluster.wait_executing(runs, cluster.capacity())
        cluster.kill(REDIS)
        cluster.start(REDIS)
    attempts = Counter(_succeeded(cluster, run_id).attempt for run_id in runs)
    return ", ".join(
        f"{attempts[attempt]} as attempt {attempt}"
        for attempt in sorted(attempts)
    )


def a_cancelled_run_ends(cluster: Cluster, tenants: Sequence[str]) -> str:
    """A run that is cancelled while it executes ends as cancelled, and its worker goes on."""
    tenant = tenants[0]
    with _held(cluster, [tenant]) as (run_id,):
        worker = cluster.worker_of(cluster.wait_running(run_id))
        answer = cluster.http.post(f"/v1/runs/{run_id}/cancel")
        assert answer.status_code == 202, answer.text
        record = cluster.wait_final(run_id, within=120)
        assert record.status is RunStatus.CANCELLED, brief(record)
    after = _succeeded(cluster, cluster.post(tenant), attempt=1)
    return f"on {worker}; the tenant's next run on {cluster.worker_of(after)}"


def a_worker_comes_back(cluster: Cluster, tenants: Sequence[str]) -> str:
    """A worker that comes back gets runs; one that is told to end finishes what it executes."""
    back, _ = cluster.machines.others
    cluster.start_missing_workers()
    with _held(cluster, tenants[: cluster.capacity()]) as runs:
        executing = cluster.wait_executing(runs, cluster.capacity())
        its_own = [
            record
            for record in executing
            if cluster.worker_of(record) == back.name
        ]
        assert len(its_own) == SLOTS, f"{back.name} has {len(its_own)} runs"
        process = cluster.stack.services[back.name].process
        assert process is not None
        process.terminate()
    for run_id in runs:
        _succeeded(cluster, run_id, attempt=1)
    assert process.wait(30) == 0, f"{back.name} ended with {process.returncode}"
    return f"{back.name} had {len(its_own)} runs, ended after them with exit status 0"


def all_is_settled(cluster: Cluster, tenants: Sequence[str]) -> str:
    """Nothing is left over: no open run, no lock, no message; every feed is right."""
    everything_settled(cluster)
    feeds = [
        cluster.http.get(f"/v1/tenants/{tenant}/feed") for tenant in tenants
    ]
    assert [feed.status_code for feed in feeds] == [302] * len(tenants)
    runs = cluster.dagster.runs()
    return f"{len(runs)} Dagster runs of {len(tenants)} tenants"


CLAIMS: tuple[Claim, ...] = (
    runs_spread,
    nothing_is_left_on_disks,
    a_killed_worker_loses_nothing,
    a_cancelled_run_ends,
    a_worker_comes_back,
    a_lost_broker_loses_nothing,
    all_is_settled,
)


@contextmanager
def _held(cluster: Cluster, tenants: Sequence[str]) -> Iterator[list[str]]:
    """Ask for a run of each tenant, and hold them in the middle of their work."""
    for tenant in tenants:
        cluster.hold_work(tenant)
    try:
        yield [cluster.post(tenant) for tenant in tenants]
    finally:
        cluster.proxy.clear()


def _succeeded(
    cluster: Cluster, run_id: str, *, attempt: int | None = None
) -> RunRecord:
    record = cluster.wait_final(run_id, within=120)
    assert record.status is RunStatus.SUCCEEDED, brief(record)
    assert record.attempt == (attempt or record.attempt), brief(record)
    assert cluster.csv(run_id) == sample_tenant.expected_csv(), (
        f"{brief(record)}: other bytes"
    )
    return record


def _names(cluster: Cluster) -> list[str]:
    return [machine.name for machine in cluster.machines.others]
