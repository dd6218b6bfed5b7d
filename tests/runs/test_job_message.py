"""The body of a message: what is read back, and what is no job."""

from __future__ import annotations

import json

import pytest

from relay_dagster.runs.job_message import Job, NotAJobError
from support.builders import RUN_ID


def body(**changes: object) -> str:
    job = {
        "run_id": RUN_ID,
        "tenant_id": "acme",
        "vendors": None,
        "config_version": None,
    }
    return json.dumps({**job, **changes})


def test_a_job_reads_back_what_it_wrote() -> None:
    job = Job(RUN_ID, "acme", ("vendor_1", "vendor_2"), 7)
    assert Job.parse(job.body()) == job


def test_vendors_and_version_may_be_left_out() -> None:
    assert Job.parse(
        json.dumps({"run_id": RUN_ID, "tenant_id": "acme"})
    ) == Job(RUN_ID, "acme")


def test_an_empty_list_of_vendors_is_all() -> None:
    assert Job.parse(body(vendors=[])).vendors is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "[" * 100_000,
        "null",
        "1" * 5000,
        body(run_id="tenants"),
        body(run_id=None),
        body(run_id=f"{RUN_ID}/x"),
        body(tenant_id="../other"),
        body(tenant_id=5),
        body(vendors="vendor_1"),
        body(vendors=[1]),
        body(vendors=["a/b"]),
        body(config_version=True),
        body(config_version="1"),
        body(config_version=0),
        body(config_version=1.0),
        body(config_version=10**400),
    ],
)
def test_a_body_that_is_no_job_is_refused(text: str) -> None:
    with pytest.raises(NotAJobError) as caught:
        Job.parse(text)
    assert len(str(caught.value)) < 300
