"""Services that throttle, fail, hang and hang up: for a while, or for ever."""

from __future__ import annotations

from collections.abc import Mapping

from integration.fault_rules import Action, Rule
from integration.installation import (
    MAX_ATTEMPTS,
    RUN_SECONDS,
    Installation,
    brief,
)
from integration.scenario import scenario
from integration.settled import Exceptions, everything_settled
from integration.waiting import wait_for

CLIENT_TRIES = 4
"""How often a run's own client asks before the attempt is given up."""


@scenario("12", seconds=20, smoke=True)
def s3_throttles_twice(relay: Installation) -> str:
    """S3 answers 503 twice: SUCCEEDED, attempt 1."""
    tenant = relay.new_tenant("slow")
    throttle = relay.proxy.add(
        Action.THROTTLE,
        "s3",
        "PutObject",
        containing=f"/tenants/{tenant}/",
        times=2,
    )
    record = relay.wait_final(relay.post(tenant))
    assert (record.status, record.attempt, throttle.hits) == (
        "SUCCEEDED",
        1,
        2,
    ), brief(record)
    everything_settled(relay)
    return "SUCCEEDED, attempt 1"


def _failing_services(
    relay: Installation, tenants: Mapping[str, str]
) -> list[Rule]:
    """Have the proxy fail calls for each of the tenants in its own way."""

    def on(word: str) -> str:
        return f"/tenants/{tenants[word]}/"

    add = relay.proxy.add
    writes = ("UpdateItem", "TransactWriteItems")
    return [
        add(
            Action.THROTTLE,
            "dynamodb",
            *writes,
            containing=(tenants["ddb"], "RUNNING"),
            times=2,
        ),
        # Of one vendor: copies go side by side, and would share the failures out among them.
        add(
            Action.FAIL,
            "s3",
            "CopyObject",
            containing=f"{on('fails')}inbound/north/",
            times=CLIENT_TRIES,
        ),
        add(
            Action.HANG,
            "s3",
            "PutObject",
            containing=f"{on('hangs')}normalized/",
            times=1,
        ),
        add(
            Action.DROP_AFTER,
            "s3",
            "PutObject",
            containing=on("drops"),
            times=2,
        ),
    ]


@scenario("12", seconds=70)
def services_fail_for_a_while(relay: Installation) -> str:
    """DynamoDB throttles twice, S3 fails through one attempt, hangs, hangs up: all SUCCEEDED."""
    tenants = {
        word: relay.new_tenant(word)
        for word in ("ddb", "fails", "hangs", "drops")
    }

    rules = _failing_services(relay, tenants)
    runs = {word: relay.post(tenant) for word, tenant in tenants.items()}
    attempts = {}
    for word, run_id in runs.items():
        record = relay.wait_final(run_id, within=2 * RUN_SECONDS)
        assert record.status == "SUCCEEDED", brief(record)
        attempts[word] = record.attempt
    assert attempts == {"ddb": 1, "fails": 2, "hangs": 1, "drops": 1}, attempts
    assert all(rule.hits == rule.times for rule in rules), rules
    everything_settled(relay)
    return f"all SUCCEEDED; attempts {attempts}"


@scenario("13", seconds=120)
def s3_throttles_one_tenant_for_ever(relay: Installation) -> str:
    """S3 throttles one tenant for ever: three attempts, POISON_JOB, DLQ; other tenants unharmed."""
    poor = relay.new_tenant("poor")
    rich = [relay.new_tenant("rich") for _ in range(3)]
    throttle = relay.proxy.add(
        Action.THROTTLE, "s3", containing=f"tenants/{poor}/"
    )
    run_id = relay.post(poor)
    other_runs = [relay.post(tenant) for tenant in rich]
    for rich_run_id in other_runs:
        final_record = relay.wait_final(rich_run_id)
        assert (final_record.status, final_record.attempt) == (
            "SUCCEEDED",
            1,
        ), brief(final_record)
    record = relay.wait_final(run_id, within=2 * RUN_SECONDS)
    outcome = (record.status, record.error_code, record.attempt)
    assert outcome == ("FAILED", "POISON_JOB", MAX_ATTEMPTS), brief(record)
    assert relay.aws.runs.lock(poor).active_run_id is None
    letters = wait_for(
        "the message is in the DLQ", relay.dead_letters, within=60
    )
    assert [letter["run_id"] for letter in letters] == [run_id], letters
    assert "SlowDown" in letters[0]["cause"], letters
    throttle.release()
    everything_settled(relay, Exceptions(dead=[record.job.body()]))
    relay.empty_dead_letters()
    return f"FAILED, POISON_JOB, attempt {record.attempt}; DLQ with cause; 3 others SUCCEEDED"
