"""From a request to a run on the queue: record and message together, or neither."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from relay_core.config import TenantConfig
from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.tenant_store import ParsedConfigs, StoredConfig
from relay_dagster.external_errors import ThrottledError, UnreachableError
from relay_dagster.ledger.messages import MessageLedger
from relay_dagster.ledger.record_writer import RecordWriter
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.ledger.submission import Submission
from relay_dagster.runs.errors import (
    NoVendorsError,
    QueueUnavailableError,
    RunCreationPausedError,
    TenantBusyError,
    TransitionRefusedError,
    UnknownVendorError,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import Idempotency, NewRun, RunRecord
from relay_dagster.runs.ports import Pause, utc_now
from relay_dagster.tenants.audit import Actor, ActorKind, Origin
from relay_dagster.tenants.errors import QuotaExceededError
from relay_dagster.wiring import Platform
from support.builders import config_document, vendor_document
from support.fakes import NOW, FakeClock

KEY = Idempotency(id="digest-of-key", fingerprint="digest-of-body")


@dataclass
class Queue:
    """Takes messages, or does not answer."""

    answers: bool = True
    sent: list[tuple[Job, str | None]] = field(default_factory=list)

    def send(self, job: Job, request_id: str | None = None) -> str:
        self.sent.append((job, request_id))
        if not self.answers:
            raise UnreachableError("sqs.SendMessage", "timed out")
        return f"m-{len(self.sent)}"


@dataclass
class Pauses:
    """Stops the runs of one tenant, or of all (``tenant_id`` None), or of nobody."""

    pause: Pause | None = None

    def of(self, tenant_id: str) -> Pause | None:
        return self.pause


@dataclass(frozen=True)
class Stored:
    """One version of a config."""

    version: int
    text: str
    tenant_id: str = "acme"
    stored_at: datetime = NOW


@dataclass
class Configs:
    """The latest config of every tenant."""

    stored: Stored | None = None

    def parsed(self, stored: StoredConfig) -> TenantConfig:
        return ParsedConfigs().of(stored)

    def latest_version(self, tenant_id: str) -> int | None:
        return self.stored.version if self.stored else None

    def latest(self, tenant_id: str) -> Stored | None:
        return self.stored


def config_of(*vendor_ids: str, version: int = 4) -> Configs:
    document = config_document(
        *(vendor_document(vendor_id) for vendor_id in vendor_ids)
    )
    return Configs(Stored(version, json.dumps(document)))


def submission(platform: Platform, **parts: Any) -> Submission:
    """Return a submission over embedded records, with a queue that answers and no pause."""
    queue = parts.pop("queue", Queue())
    pauses = parts.pop("pauses", Pauses())
    plain = Submission(
        platform.ledger, queue.send, pauses.of, config_of("vendor_1")
    )
    return replace(plain, **parts)


# --- submitted ----------------------------------------------------------------------------------


def test_a_run_is_pinned_to_the_latest_config_and_has_its_message(
    platform: Platform,
) -> None:
    queue = Queue()
    record = submission(platform, queue=queue).submit("acme", request_id="q1")
    assert (record.config_version, record.message_id) == (4, "m-1")
    assert queue.sent == [(record.job, "q1")]
    assert platform.runs.get(record.run_id) == record


def test_no_vendors_are_all_of_them(platform: Platform) -> None:
    assert submission(platform).submit("acme", []).vendors is None


def test_a_vendor_that_the_config_lacks_is_refused_before_there_is_a_run(
    platform: Platform,
) -> None:
    with pytest.raises(UnknownVendorError) as caught:
        submission(platform).submit("acme", ["vendor_9"])
    assert [fault.path for fault in caught.value.faults] == ["vendors.0"]
    assert platform.runs.lock("acme").active_run_id is None


def without_vendors() -> Configs:
    return Configs(Stored(3, json.dumps(config_document(vendors=[]))))


@pytest.mark.parametrize("vendors", [None, [], ["vendor_1"]], ids=str)
def test_a_tenant_without_vendors_has_no_runs(
    platform: Platform, vendors: list[str] | None
) -> None:
    empty = submission(platform, configs=without_vendors())
    with pytest.raises(NoVendorsError, match="tenant acme has no vendors"):
        empty.submit("acme", vendors)
    with pytest.raises(NoVendorsError):
        empty.resubmit("acme", vendors, in_place_of="r-1")
    assert platform.runs.list_runs().items == ()


@pytest.mark.parametrize(
    ("configs", "version"),
    [(Configs(), None), (Configs(Stored(2, '{"tenant_id": 5}')), 2)],
    ids=["no config", "one that does not hold"],
)
def test_a_run_that_is_going_to_fail_is_accepted(
    platform: Platform, configs: Configs, version: int | None
) -> None:
    record = submission(platform, configs=configs).submit("acme", ["vendor_1"])
    assert (record.config_version, record.vendors) == (version, ("vendor_1",))


@pytest.mark.parametrize(
    ("tenant_id", "whose"),
    [(None, "for all tenants"), ("acme", "for tenant acme")],
)
def test_a_pause_stops_new_runs_and_says_why(
    platform: Platform, tenant_id: str | None, whose: str
) -> None:
    paused = submission(
        platform, pauses=Pauses(Pause(tenant_id, "the backlog grows", NOW))
    )
    with pytest.raises(
        RunCreationPausedError, match=f"{whose}: the backlog grows"
    ):
        paused.submit("acme")
    assert platform.runs.lock("acme").active_run_id is None


def test_the_key_is_looked_at_before_pause_and_vendors(
    platform: Platform,
) -> None:
    first = submission(platform).submit("acme", ["vendor_1"], idempotency=KEY)
    later = submission(
        platform,
        pauses=Pauses(Pause(None, "paused since", NOW)),
        configs=config_of("vendor_2"),
    )
    assert later.submit("acme", ["vendor_1"], idempotency=KEY) == first


def test_a_busy_tenant_gets_no_message(platform: Platform) -> None:
    submission(platform).submit("acme")
    queue = Queue()
    with pytest.raises(TenantBusyError):
        submission(platform, queue=queue).submit("acme")
    assert queue.sent == []


# --- where sending fails ------------------------------------------------------------------------


def test_where_the_queue_does_not_answer_no_run_is_left(
    platform: Platform,
) -> None:
    queue = Queue(answers=False)
    with pytest.raises(QueueUnavailableError) as caught:
        submission(platform, queue=queue).submit("acme", idempotency=KEY)
    assert isinstance(caught.value.__cause__, UnreachableError)
    ((job, _),) = queue.sent
    assert platform.runs.get_visible(job.run_id) is None
    assert (
        submission(platform).submit("acme", idempotency=KEY).run_id
        != job.run_id
    )


def test_a_run_whose_message_arrived_all_the_same_and_is_under_way_stays(
    platform: Platform,
) -> None:
    class Racing(Queue):
        """The run is dispatched before the sender hears that its message timed out."""

        def send(self, job: Job, request_id: str | None = None) -> str:
            platform.ledger.dispatch(
                job.run_id, 1, message_id="m", receipt_handle="h"
            )
            return super().send(job, request_id=request_id)

    record = submission(platform, queue=Racing(answers=False)).submit("acme")
    assert (record.attempt, record.hidden) == (1, False)


def test_a_run_that_was_over_before_its_message_was_noted_is_returned_as_it_is(
    platform: Platform,
) -> None:
    class Quick(Queue):
        def send(self, job: Job, request_id: str | None = None) -> str:
            platform.ledger.cancel(job.run_id)
            return super().send(job, request_id=request_id)

    record = submission(platform, queue=Quick()).submit("acme")
    assert record.status is RunStatus.CANCELLED


def test_a_message_that_cannot_be_noted_is_on_its_way(
    platform: Platform,
) -> None:
    class CannotNote(MessageLedger):
        def mark_sent(
            self,
            run_id: str,
            message_id: str,
            *,
            cached_record: RunRecord | None = None,
        ) -> RunRecord:
            raise ThrottledError("dynamodb.TransactWriteItems", "slow down")

    queue = Queue()
    ledger = RunLedger(platform.runs)
    ledger.messages = CannotNote(
        RecordWriter(platform.runs, ledger.schedule, utc_now),
        ledger.schedule,
        utc_now,
    )
    record = submission(platform, queue=queue, ledger=ledger).submit("acme")
    assert (len(queue.sent), record.message_id) == (1, None)
    assert not record.hidden


# --- once more ----------------------------------------------------------------------------------


def test_a_run_in_place_of_a_dead_one_takes_the_latest_config_whatever_stops_others(
    platform: Platform,
) -> None:
    paused = submission(
        platform,
        pauses=Pauses(Pause(None, "paused", NOW)),
        configs=config_of("new", version=9),
    )
    record = paused.resubmit("acme", ("gone",), in_place_of="dead")
    assert (record.config_version, record.vendors) == (9, ("gone",))


def test_a_run_that_was_never_sent_is_sent_after_a_minute_and_once(
    platform: Platform, clock: FakeClock
) -> None:
    queue = Queue()
    late = submission(platform, queue=queue)
    new_run = NewRun(
        run_id=str(uuid.uuid4()), tenant_id="acme", request_id="q1"
    )
    record = platform.ledger.reserve(new_run).record
    with pytest.raises(TransitionRefusedError):
        late.send_unsent(new_run.run_id)
    clock.advance(seconds=60)
    assert late.send_unsent(new_run.run_id).message_id == "m-1"
    with pytest.raises(TransitionRefusedError):
        late.send_unsent(new_run.run_id)
    assert queue.sent == [(record.job, "q1")]


def test_a_run_that_cannot_be_sent_late_either_stays(
    platform: Platform, clock: FakeClock
) -> None:
    new_run = NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    platform.ledger.reserve(new_run)
    clock.now += timedelta(minutes=2)
    with pytest.raises(UnreachableError):
        submission(platform, queue=Queue(answers=False)).send_unsent(
            new_run.run_id
        )
    record = platform.runs.get_visible(new_run.run_id)
    assert record is not None
    assert record.message_id is None


# --- the quota of an hour -----------------------------------------------------------------------


def test_a_tenant_is_given_so_many_runs_in_an_hour_of_the_clock(
    platform: Platform, clock: FakeClock
) -> None:
    limited = submission(platform, runs_per_hour=2)
    clock.advance(minutes=59)
    for _ in range(2):
        # Runs that were cancelled count as well.
        platform.ledger.cancel(limited.submit("acme").run_id)
    with pytest.raises(QuotaExceededError) as refused:
        limited.submit("acme")
    assert refused.value.wait_seconds == 60
    assert limited.submit("other").tenant_id == "other"
    clock.advance(minutes=1)
    assert limited.submit("acme").tenant_id == "acme"


def test_requests_that_make_no_run_do_not_count(platform: Platform) -> None:
    limited = submission(platform, runs_per_hour=2)
    first = limited.submit("acme", idempotency=KEY)
    assert limited.submit("acme", idempotency=KEY) == first
    for _ in range(3):
        with pytest.raises(TenantBusyError):
            limited.submit("acme")
    platform.ledger.cancel(first.run_id)
    for _ in range(3):
        with pytest.raises(QueueUnavailableError):
            replace(limited, send=Queue(answers=False).send).submit("acme")
    platform.ledger.cancel(limited.submit("acme").run_id)
    with pytest.raises(QuotaExceededError):
        limited.submit("acme")


def test_a_tenant_with_a_run_is_told_of_that_and_not_of_its_quota(
    platform: Platform,
) -> None:
    limited = submission(platform, runs_per_hour=1)
    limited.submit("acme")
    with pytest.raises(TenantBusyError):
        limited.submit("acme")


def test_what_an_operator_sends_again_is_no_matter_of_quotas(
    platform: Platform,
) -> None:
    limited = submission(platform, runs_per_hour=1)

    def again() -> RunRecord:
        return limited.resubmit("acme", None, in_place_of="dead")

    for start in (again, lambda: limited.submit("acme")):
        platform.ledger.cancel(start().run_id)
    assert again().tenant_id == "acme"


# --- who asked for it ---------------------------------------------------------------------------

OPS = Origin(Actor(ActorKind.ADMIN_KEY, "ops", "ops"), "request-1", "192.0.2.1")


def told(platform: Platform) -> list[tuple[str, str | None, str]]:
    """Return action, target and actor of all entries of the audit, the oldest first."""
    entries = platform.audit.list_entries().items
    return [
        (entry.action, entry.target, entry.actor.id)
        for entry in reversed(entries)
    ]


def test_who_asks_for_a_run_is_told_once_its_message_is_sent(
    platform: Platform, clock: FakeClock
) -> None:
    record = submission(platform).submit("acme", ("vendor_1",), origin=OPS)
    (entry,) = platform.audit.list_entries("acme").items
    assert entry.details == {
        "trigger": "api",
        "config_version": 4,
        "vendors": ["vendor_1"],
    }
    assert (entry.request_id, entry.address) == ("request-1", "192.0.2.1")
    assert entry.occurred_at == record.requested_at
    clock.advance(seconds=1)  # entries of one instant have no order
    platform.ledger.dispatch(
        record.run_id, 1, message_id="m", receipt_handle="h"
    )
    platform.ledger.cancel(record.run_id)
    assert told(platform) == [
        ("run.posted", record.run_id, "ops"),
        ("run.cancelled", record.run_id, record.run_id),
    ]


def test_who_asked_is_told_though_the_submitter_died_before_its_message(
    platform: Platform, clock: FakeClock
) -> None:
    new_run = NewRun(run_id=str(uuid.uuid4()), tenant_id="acme", origin=OPS)
    platform.ledger.reserve(new_run)
    assert told(platform) == []
    clock.advance(seconds=1)
    platform.ledger.request_cancel(new_run.run_id)
    posted = ("run.posted", new_run.run_id, "ops")
    cancelled = ("run.cancelled", new_run.run_id, "relay")
    assert told(platform) == [posted, cancelled]


def test_a_redrive_is_told_as_one_act_on_the_dead_letter(
    platform: Platform,
) -> None:
    started = submission(platform).resubmit(
        "acme", None, in_place_of="dead", origin=OPS
    )
    (entry,) = platform.audit.list_entries().items
    assert told(platform) == [("dead_letter.redriven", "dead", "ops")]
    assert entry.details == {"run_id": started.run_id}


def test_what_is_sent_straight_to_the_queue_is_an_act_of_the_system(
    platform: Platform,
) -> None:
    job = Job(str(uuid.uuid4()), "acme")
    platform.ledger.adopt(job)
    platform.ledger.dispatch(job.run_id, 1, message_id="m", receipt_handle="h")
    assert told(platform) == [("run.posted", job.run_id, "relay")]
    assert platform.audit.list_entries().items[0].details == {
        "trigger": "queue"
    }


def test_what_dagster_s_ui_starts_is_an_act_of_dagster(
    platform: Platform,
) -> None:
    run_id = str(uuid.uuid4())
    record = platform.ledger.start_by_hand(run_id, "acme")
    platform.ledger.pin(record.fence, 1)
    assert told(platform) == [("run.posted", run_id, run_id)]
    (entry,) = platform.audit.list_entries().items
    assert (entry.actor.kind, entry.details) == (
        "dagster",
        {"trigger": "dagster"},
    )
