"""Dead letters: seen by everybody, redriven as new runs, discarded for good."""

import uuid
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from relay_core.domain.codes import RunStatus
from relay_dagster import cli
from relay_dagster.aws.job_queue import JobQueue
from relay_dagster.external_errors import UnreachableError
from relay_dagster.intake.dead_letters import DeadLetterError, DeadLetters
from relay_dagster.runs.errors import QueueUnavailableError, TenantBusyError
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import NewRun, RunRecord
from relay_dagster.tenants.audit import Actor, ActorKind, Origin
from relay_dagster.wiring import Platform


def poisoned(platform: Platform, tenant_id: str = "acme") -> RunRecord:
    """Return a run that has used its attempts up, its message where it belongs."""
    request = NewRun(
        run_id=str(uuid.uuid4()), tenant_id=tenant_id, vendors=("v1",)
    )
    record = platform.ledger.reserve(request).record
    record = platform.ledger.poison(record.run_id, "S3 refuses")
    message_id = platform.queue.send_dead(
        record.job.body(), cause="POISON_JOB: S3 refuses", run_id=record.run_id
    )
    return platform.ledger.messages.record_dlq(record.run_id, message_id)


def test_a_look_shows_run_status_and_cause_and_hides_nothing(
    platform: Platform,
) -> None:
    record = poisoned(platform)
    for _ in range(2):
        (letter,) = DeadLetters(platform).all()
        assert (letter.run_id, letter.tenant_id) == (record.run_id, "acme")
        assert letter.cause == "POISON_JOB: S3 refuses"
        assert letter.record is not None
        assert letter.record.status is RunStatus.FAILED


def test_a_message_that_is_no_job_is_shown_and_can_be_discarded(
    platform: Platform,
) -> None:
    platform.queue.send_dead(
        "gibberish", cause="invalid_job: no JSON", run_id="r-1"
    )
    letters = DeadLetters(platform)
    (letter,) = letters.all()
    assert (letter.run_id, letter.tenant_id, letter.record) == (
        "r-1",
        None,
        None,
    )
    with pytest.raises(DeadLetterError, match="no job"):
        letters.redrive("r-1")
    letters.discard("r-1")
    assert letters.all() == []


def test_a_message_of_no_run_is_discarded_by_its_own_id(
    platform: Platform,
) -> None:
    record = poisoned(platform)
    message_id = platform.queue.send_dead(
        "gibberish", cause="invalid_job: no JSON"
    )
    letters = DeadLetters(platform)
    assert message_id in {letter.message_id for letter in letters.all()}
    letters.discard(message_id)
    (letter,) = letters.all()
    assert letter.run_id == record.run_id
    assert letter.message_id is not None
    letters.discard(letter.message_id)
    assert letters.all() == []


def test_a_redrive_starts_a_new_run_and_removes_the_message(
    platform: Platform,
) -> None:
    platform.tenants.create("acme", "{}")
    record = poisoned(platform)
    started = DeadLetters(platform).redrive(record.run_id)
    assert started.run_id != record.run_id
    assert (started.status, started.vendors) == (RunStatus.QUEUED, ("v1",))
    assert started.config_version == 1
    assert DeadLetters(platform).all() == []
    (message,) = platform.queue.receive(10, wait_seconds=0)
    assert started.run_id in message.body


OPERATOR = Origin(Actor(ActorKind.CLI, "oscar", "oscar"))


def test_what_becomes_of_a_letter_is_told_with_who_did_it(
    platform: Platform,
) -> None:
    platform.queue.send_dead(
        "gibberish", cause="invalid_job: no JSON", run_id="r-1"
    )
    dead = poisoned(platform)
    other_record = poisoned(platform, "other")
    letters = DeadLetters(platform, OPERATOR)
    letters.discard("r-1")
    letters.discard(dead.run_id)
    started = letters.redrive(other_record.run_id)
    entries = platform.audit.list_entries().items
    acts = {
        entry.target: entry
        for entry in entries
        if entry.actor == OPERATOR.actor
    }
    assert {
        target: (entry.action, entry.tenant_id)
        for target, entry in acts.items()
    } == {
        "r-1": ("dead_letter.discarded", None),
        dead.run_id: ("dead_letter.discarded", "acme"),
        other_record.run_id: ("dead_letter.redriven", "other"),
    }
    assert acts["r-1"].details == {"cause": "invalid_job: no JSON"}
    assert acts[other_record.run_id].details == {"run_id": started.run_id}


def test_a_letter_that_is_not_there_is_no_act(platform: Platform) -> None:
    with pytest.raises(DeadLetterError):
        DeadLetters(platform, OPERATOR).discard(str(uuid.uuid4()))
    assert platform.audit.list_entries().items == ()


def test_a_redrive_for_a_busy_tenant_starts_nothing_and_keeps_the_message(
    platform: Platform,
) -> None:
    record = poisoned(platform)
    platform.ledger.reserve(NewRun(run_id=str(uuid.uuid4()), tenant_id="acme"))
    with pytest.raises(TenantBusyError):
        DeadLetters(platform).redrive(record.run_id)
    assert len(DeadLetters(platform).all()) == 1


def test_a_redrive_that_the_queue_does_not_take_leaves_no_run_and_keeps_the_message(
    platform: Platform,
) -> None:
    class DeafQueue(JobQueue):
        def send(self, job: Job, request_id: str | None = None) -> str:
            raise UnreachableError("sqs.SendMessage", "timed out")

    record = poisoned(platform)
    deaf = DeafQueue(
        platform.clients, platform.queue.url, platform.queue.dlq_url
    )
    with pytest.raises(QueueUnavailableError):
        DeadLetters(replace(platform, queue=deaf)).redrive(record.run_id)
    assert len(DeadLetters(platform).all()) == 1
    assert platform.runs.lock("acme").active_run_id is None


def test_a_run_that_has_not_ended_is_left_to_settle(platform: Platform) -> None:
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    platform.queue.send_dead(record.job.body(), cause="", run_id=record.run_id)
    with pytest.raises(DeadLetterError, match="has not ended"):
        DeadLetters(platform).redrive(record.run_id)


def test_the_message_of_a_run_that_has_not_ended_is_not_discarded(
    platform: Platform,
) -> None:
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    platform.clients.sqs.send_message(
        QueueUrl=platform.queue.dlq_url, MessageBody=record.job.body()
    )
    with pytest.raises(DeadLetterError, match="has not ended"):
        DeadLetters(platform).discard(record.run_id)
    assert platform.queue.dead.count() == 1


def test_every_letter_is_shown_also_those_that_the_queue_does_not_hand_out(
    platform: Platform,
) -> None:
    records = [poisoned(platform, f"tenant-{number}") for number in range(24)]
    for record in records:
        platform.ledger.messages.acknowledge(record.run_id)
    platform.queue.send_dead(
        "gibberish", cause="invalid_job: no JSON", run_id="r-1"
    )
    while platform.queue.dead.receive(hidden_seconds=600):
        pass
    run_ids = [letter.run_id for letter in DeadLetters(platform).all()]
    assert sorted(map(str, run_ids)) == sorted(
        record.run_id for record in records
    )


def test_a_letter_that_is_not_handed_out_is_redriven_all_the_same(
    platform: Platform,
) -> None:
    record = poisoned(platform)
    platform.queue.dead.receive(hidden_seconds=600)
    started = DeadLetters(platform).redrive(record.run_id)
    assert started.status is RunStatus.QUEUED
    assert DeadLetters(platform).all() == []
    with pytest.raises(DeadLetterError, match="no message of run"):
        DeadLetters(platform).redrive(record.run_id)


def test_a_run_without_a_dead_letter_is_refused(platform: Platform) -> None:
    with pytest.raises(DeadLetterError, match="no message of run nobody"):
        DeadLetters(platform).discard("nobody")


def test_what_a_message_says_cannot_break_the_list_or_steer_a_terminal(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_the_platform(platform, monkeypatch)
    marked = ["[/x]", "[bold]b[/bold]", "[link=https://evil.test]l[/link]"]
    for cause in marked:
        platform.queue.send_dead("{}", cause=cause)
    request = NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    record = platform.ledger.reserve(request).record
    platform.ledger.poison(record.run_id, "header \x1b[2J\x9b2J")
    platform.clients.sqs.send_message(
        QueueUrl=platform.settings.dlq_url, MessageBody=record.job.body()
    )
    listed = CliRunner().invoke(cli.app, ["server", "dlq", "list"])
    assert listed.exit_code == 0
    for text in [*marked, r"header \x1b[2J\x9b2J"]:
        assert text in listed.stdout
    assert not {"\x1b", "\x9b"} & set(listed.stdout)


def name_the_platform(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set the variables that lead the commands to a platform."""
    settings = platform.settings
    for name, value in {
        "AWS_REGION": settings.region,
        "ARTIFACT_BUCKET": settings.artifact_bucket,
        "RUNS_TABLE": settings.runs_table,
        "TENANTS_TABLE": settings.tenants_table,
        "SQS_QUEUE_URL": settings.queue_url,
        "SQS_DLQ_URL": settings.dlq_url,
    }.items():
        monkeypatch.setenv(name, value)


def test_the_commands_list_redrive_and_discard(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_the_platform(platform, monkeypatch)
    first = poisoned(platform)
    second = poisoned(platform, "other")
    run = CliRunner().invoke
    listed = run(cli.app, ["server", "dlq", "list"])
    assert first.run_id in listed.stdout
    assert "POISON_JOB: S3 refuses" in listed.stdout
    assert (
        run(cli.app, ["server", "dlq", "redrive", first.run_id]).exit_code == 0
    )
    discarded = run(
        cli.app, ["server", "dlq", "discard", str(second.dlq_message_id)]
    )
    assert discarded.stdout == (
        f"The dead letter {second.dlq_message_id} is removed.\n"
    )
    again = run(cli.app, ["server", "dlq", "discard", second.run_id])
    assert again.exit_code == 1
    assert again.stderr.startswith(
        "the dead-letter queue has no message of run"
    )
