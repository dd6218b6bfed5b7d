"""What the queue itself has moved to the dead letters."""

import uuid
from datetime import datetime

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.maintenance.housekeeping import Occasion
from relay_dagster.maintenance.messages import (
    AT_LEAST_EVERY_SECONDS,
    DeadLetterCount,
    resolve_dead_letters,
    sweep,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import DueQueue, NewRun
from relay_dagster.wiring import Platform
from support.fakes import FakeClock, peek_dead


def stray(platform: Platform, job: Job) -> None:
    """Let a job lie in the dead letters as the queue's own redrive leaves it."""
    platform.clients.sqs.send_message(
        QueueUrl=platform.queue.dlq_url, MessageBody=job.body()
    )


def new_job(tenant_id: str = "acme") -> Job:
    return Job(str(uuid.uuid4()), tenant_id)


def test_a_message_that_was_moved_while_its_run_has_attempts_left_is_sent_again(
    platform: Platform,
) -> None:
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    stray(platform, record.job)
    assert resolve_dead_letters(platform) == 1
    assert peek_dead(platform.queue) == []
    (message,) = platform.queue.receive()
    assert Job.parse(message.body) == record.job


def test_a_moved_job_without_a_record_becomes_poison(
    platform: Platform,
) -> None:
    job = new_job()
    stray(platform, job)
    resolve_dead_letters(platform)
    record = platform.runs.get(job.run_id)
    assert record is not None
    assert (record.status, record.error_code) == (
        RunStatus.FAILED,
        "POISON_JOB",
    )
    assert len(peek_dead(platform.queue)) == 1


def test_a_moved_message_of_a_run_that_ended_is_deleted(
    platform: Platform,
) -> None:
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    platform.ledger.cancel(record.run_id)
    stray(platform, record.job)
    resolve_dead_letters(platform)
    assert peek_dead(platform.queue) == []


@pytest.mark.parametrize("ended", [False, True], ids=["under way", "ended"])
def test_a_moved_message_with_another_body_stays_and_touches_no_run(
    platform: Platform, ended: bool
) -> None:
    run_id = str(uuid.uuid4())
    record = platform.ledger.reserve(
        NewRun(run_id=run_id, tenant_id="acme")
    ).record
    if ended:
        record = platform.ledger.cancel(run_id)
    stray(platform, Job(run_id, "other"))
    assert resolve_dead_letters(platform) == 0
    assert platform.runs.get(run_id) == record
    assert len(peek_dead(platform.queue)) == 1
    assert platform.queue.receive() == []


def test_what_was_put_there_on_purpose_stays(platform: Platform) -> None:
    platform.queue.send_dead("hello", cause="invalid_job: not JSON")
    platform.queue.send_dead(
        new_job().body(), cause="job_conflict: another body"
    )
    assert resolve_dead_letters(platform) == 0
    assert len(peek_dead(platform.queue)) == 2


def test_a_body_that_is_no_job_stays_for_the_operator(
    platform: Platform,
) -> None:
    platform.clients.sqs.send_message(
        QueueUrl=platform.queue.dlq_url, MessageBody="hello"
    )
    assert resolve_dead_letters(platform) == 0
    assert len(peek_dead(platform.queue)) == 1


def test_a_job_of_too_many_vendors_is_none_and_holds_up_no_other(
    platform: Platform,
) -> None:
    oversize = Job(
        str(uuid.uuid4()), "acme", tuple(f"v{n}" * 20 for n in range(201))
    )
    stray(platform, oversize)
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    stray(platform, record.job)
    assert resolve_dead_letters(platform) == 1
    assert platform.queue.dead.count() == 1


def test_a_letter_that_cannot_be_resolved_holds_up_no_other(
    platform: Platform,
) -> None:
    jobs = [new_job(tenant) for tenant in ("a", "b", "c")]
    client = platform.clients.dynamodb
    faults = iter(
        [ExternalServiceError("dynamodb.TransactWriteItems", "refused")]
    )

    def refuse(**_: object) -> None:
        for fault in faults:
            raise fault

    for job in jobs:
        stray(platform, job)
    client.meta.events.register(
        "before-call.dynamodb.TransactWriteItems", refuse
    )
    try:
        assert resolve_dead_letters(platform) == 2
        resolve_dead_letters(platform)
    finally:
        client.meta.events.unregister(
            "before-call.dynamodb.TransactWriteItems", refuse
        )
    records = platform.runs.get_many({job.run_id for job in jobs})
    assert [record.status for record in records.values()] == [
        RunStatus.FAILED
    ] * 3


def bury(platform: Platform, letters: int) -> None:
    """Put so many letters there on purpose."""
    for _ in range(letters):
        platform.queue.send_dead(
            new_job().body(), cause="job_conflict: another body"
        )


def test_a_stray_is_found_among_however_many_letters_and_they_are_shown_again(
    platform: Platform,
) -> None:
    bury(platform, 120)
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    stray(platform, record.job)
    assert resolve_dead_letters(platform) == 1
    assert len(platform.queue.receive()) == 1
    assert platform.queue.dead.count() == 120


def at(platform: Platform, now: datetime) -> Occasion:
    return Occasion(platform, now, Deadline.after(60))


def test_letters_are_read_when_their_number_has_changed_or_after_some_minutes(
    platform: Platform, clock: FakeClock
) -> None:
    bury(platform, 2)
    count = DeadLetterCount()
    assert sweep(at(platform, clock()), count) == "0 of 2 dead letters resolved"
    assert (
        sweep(at(platform, clock.advance(seconds=60)), count)
        == "2 dead letters"
    )
    late = clock.advance(seconds=AT_LEAST_EVERY_SECONDS - 60)
    assert sweep(at(platform, late), count) == "0 of 2 dead letters resolved"
    stray(platform, new_job())
    assert (
        sweep(at(platform, clock.advance(seconds=60)), count)
        == "1 of 3 dead letters resolved"
    )


def test_a_letter_that_an_operator_has_settled_goes_when_it_is_met(
    platform: Platform,
) -> None:
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    platform.ledger.poison(record.run_id, "S3 refuses")
    letter = platform.queue.send_dead(
        record.job.body(), cause="POISON_JOB: S3 refuses"
    )
    platform.ledger.messages.record_dlq(record.run_id, letter)
    resolve_dead_letters(platform)
    assert platform.queue.dead.count() == 1
    platform.ledger.messages.resolve_dead_letter(record.run_id)
    resolve_dead_letters(platform)
    assert platform.queue.dead.count() == 0


def test_a_letter_that_the_queue_no_longer_keeps_is_forgotten(
    platform: Platform, clock: FakeClock
) -> None:
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    platform.ledger.poison(record.run_id, "S3 refuses")
    platform.ledger.messages.record_dlq(record.run_id, "gone")
    platform.ledger.messages.acknowledge(record.run_id)
    bury(platform, 1)
    assert len(platform.runs.due(DueQueue.DEAD_LETTER, clock())) == 1
    sweep(at(platform, clock.advance(days=15)), DeadLetterCount())
    assert platform.runs.due(DueQueue.DEAD_LETTER, clock()) == []
