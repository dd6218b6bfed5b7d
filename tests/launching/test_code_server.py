"""The code server as a process: its warm process forks its runs, and ends with it."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import connection
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import ExecuteExternalJobArgs, StartRunResult
from dagster._serdes import deserialize_value

from integration.waiting import wait_for
from relay_dagster import tags
from relay_dagster.definitions import defs
from relay_dagster.devstack.processes import CODE, Stack
from relay_dagster.launching.code_server import DEFINITIONS, LOCATION
from relay_dagster.launching.warm_process import can_fork
from relay_dagster.orchestration.jobs import INVENTORY_SYNC
from support.processes import children_of, is_warm_process

# macOS, and kernels without pidfds, have no warm process: each run there is a cold one.
pytestmark = pytest.mark.skipif(not can_fork(), reason="runs start cold here")
SECONDS = 60
MOMENT = 1.0


@pytest.fixture
def stack(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stack]:
    with Stack(tmp_path) as started:
        started.start(CODE)
        monkeypatch.setenv("DAGSTER_HOME", str(started.dagster_home))
        yield started


def code_server_pid(stack: Stack) -> int:
    process = stack.services[CODE].process
    assert process is not None
    return process.pid


def warm_pid(stack: Stack) -> int:
    children = children_of(code_server_pid(stack))
    (pid,) = [child for child in children if is_warm_process(child)]
    return pid


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def start_run(stack: Stack, instance: dg.DagsterInstance) -> str:
    """Start a run as Dagster's launcher does; the run fails, for there is no AWS."""
    run = instance.create_run_for_job(
        defs.resolve_job_def(INVENTORY_SYNC),
        tags={tags.PARTITION: "acme"},
    )
    location = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(module_name=DEFINITIONS),
        location_name=LOCATION,
    )
    repository = RemoteRepositoryOrigin(location, "__repository__")
    request = ExecuteExternalJobArgs(
        job_origin=RemoteJobOrigin(repository, INVENTORY_SYNC),
        run_id=run.run_id,
        instance_ref=instance.get_ref(),
    )
    client = DagsterGrpcClient(host=stack.host, port=stack.ports[CODE])
    answer = deserialize_value(client.start_run(request), StartRunResult)
    assert answer.success, answer
    return run.run_id


def test_a_code_server_whose_threads_wait_leaves_no_folder_when_it_is_killed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The path of a socket has at most 107 characters.
    with (
        tempfile.TemporaryDirectory(prefix="relay-") as name,
        ThreadPoolExecutor(1) as pool,
        Stack(tmp_path) as stack,
    ):
        folder = Path(name)
        monkeypatch.setenv("TMPDIR", name)
        stack.start(CODE)
        monkeypatch.setenv("DAGSTER_HOME", str(stack.dagster_home))
        os.kill(warm_pid(stack), signal.SIGSTOP)
        with dg.DagsterInstance.get() as instance:
            starting = pool.submit(start_run, stack, instance)
            threading.Event().wait(MOMENT)
            assert list(folder.glob("pymp-*"))
            # The server waits for the open call after the first signal, but not after the second.
            os.kill(code_server_pid(stack), signal.SIGTERM)
            threading.Event().wait(MOMENT)
            os.kill(code_server_pid(stack), signal.SIGTERM)
            wait_for(
                "the folder is gone",
                lambda: not list(folder.glob("pymp-*")),
                within=MOMENT * 5,
            )
            assert not starting.done()
            stack.kill(CODE)
            assert starting.exception(SECONDS) is not None


def test_a_run_waits_for_the_warm_process_and_ends(stack: Stack) -> None:
    pid = warm_pid(stack)
    with dg.DagsterInstance.get() as instance, ThreadPoolExecutor(1) as pool:
        os.kill(pid, signal.SIGSTOP)
        starting = pool.submit(start_run, stack, instance)
        threading.Event().wait(MOMENT)
        assert not starting.done()
        os.kill(pid, signal.SIGCONT)
        run_id = starting.result(SECONDS)
        wait_for(
            "the run has failed",
            lambda: status(instance, run_id) is dg.DagsterRunStatus.FAILURE,
            within=SECONDS,
        )
    assert warm_pid(stack) == pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_warm_process_ends_with_the_code_server(
    stack: Stack,
    number: signal.Signals,
) -> None:
    process_fd = os.pidfd_open(warm_pid(stack))
    os.kill(code_server_pid(stack), number)
    assert connection.wait([process_fd], SECONDS)
    os.close(process_fd)
