"""The bytes of every kind of item, as the first release stores them: a later one must read them.

`play` walks through all acts that store something; each scene's new and changed items are compared
with ``stored_items.json``. To write that file anew, which only a change of the stored form may do:
``WRITE_STORED_ITEMS=1 python -m pytest tests/aws/dynamodb/test_stored_items.py``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from relay_core.config import load_overrides
from relay_core.config.deliveries import DeliveryConfig
from relay_core.config.pulls import PullConfig
from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure, VendorResult
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.api_key_store import (
    ApiKeyStore,
    BrowserSession,
    Scope,
    SessionStore,
    TenantKey,
)
from relay_dagster.aws.dynamodb.deletion_store import DeletionStore
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind, LinkStore
from relay_dagster.aws.dynamodb.pause_store import PauseStore
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.aws.dynamodb.transfer_store import (
    DELIVERIES,
    PULLS,
    TransferStore,
)
from relay_dagster.aws.overrides import OverrideStore
from relay_dagster.aws.secrets import SecretStore, SecretValue
from relay_dagster.deliveries import requests, sending
from relay_dagster.deliveries.model import PublicationMark, SentFile
from relay_dagster.deliveries.requests import Rule
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    Idempotency,
    NewRun,
    Outcome,
    Release,
    RunRecord,
    Trigger,
)
from relay_dagster.tenants import deletion as deletion_rules
from relay_dagster.tenants.audit import Action, Actor, ActorKind, Origin
from relay_dagster.tenants.deletion import Deletion
from relay_dagster.triggers import pulls
from relay_dagster.triggers.file_series import FileSeries
from relay_dagster.triggers.pulled_files import FileMark, StagedFile
from relay_dagster.triggers.rules import TriggerState, TriggerUpdate
from relay_dagster.webhooks.changes import (
    added,
    disabled,
    edited,
    failing,
    rotated,
)
from relay_dagster.webhooks.model import (
    Delivery,
    DeliveryAttempt,
    DisabledReason,
    EventType,
    Webhook,
    new_event,
)
from relay_dagster.wiring import Platform
from relay_dagster.work.queue import LeasedItem
from support.builders import RUN_ID, config_document
from support.config_documents import DELIVERY
from support.deletions import change_deletion, end_deletion
from support.deliveries_world import take_delivery
from support.fakes import CHANGES, NOW, TRIPPED, FakeClock, embedded_platform
from support.pulls_world import take_pull
from support.webhooks_world import due_events, store_event

STORED = Path(__file__).with_name("stored_items.json")
WHO = Origin(Actor(ActorKind.TENANT_KEY, "k1", "tool"), "req-1", "192.0.2.7")
MINUTE = timedelta(minutes=1)
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
Items = dict[str, dict[str, Any]]

# What is drawn anew in each run of this test, and the shard that follows from it.
DRAWN = (
    (re.compile(r"msg_[0-9a-f]{32}"), "msg_DRAWN"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "DRAWN"),
    (re.compile(r"Z-[0-9a-f]{16}\b"), "Z-DRAWN"),
    (re.compile(r"event#[0-3]"), "event#SHARD"),
)


def run_id(number: int) -> str:
    return f"{RUN_ID[:-2]}{number:02d}"


def settled(text: str) -> str:
    for pattern, drawn in DRAWN:
        text = pattern.sub(drawn, text)
    return text


def items_of(platform: Platform) -> Items:
    """Return all items there are, by table and key."""
    names = platform.settings
    items = {}
    for table in (names.runs_table, names.tenants_table, names.audit_table):
        pages = platform.clients.dynamodb.get_paginator("scan").paginate(
            TableName=table
        )
        for item in (item for page in pages for item in page["Items"]):
            key = str(item["pk"]["S"])
            if key.startswith("BEAT#"):
                # The clock of the process decides this number.
                item["expires_at"] = {"N": "DRAWN"}
            items[f"{table.removeprefix('relay-')}/{key}"] = item
    return items


class Story:
    """Acts in turn, and what each has left in the tables."""

    def __init__(self, platform: Platform, clock: FakeClock) -> None:
        self.platform = platform
        self.clock = clock
        self.ledger = platform.ledger
        database = replace(platform.database, clock=clock)
        self.tenants = TenantStore(database, versions_per_day=9)
        self.keys = ApiKeyStore(database)
        self.pauses = PauseStore(database)
        self.deletions = DeletionStore(database)
        self.override_store = OverrideStore(database, platform.objects)
        self.webhooks = platform.webhooks
        self.triggers = platform.triggers
        self.pulls = TransferStore(database, PULLS)
        self.deliveries = TransferStore(database, DELIVERIES)

    def start(self, number: int, **changes: Any) -> None:
        """Bring a run to its first claimed attempt."""
        self.ledger.reserve(
            NewRun(run_id=run_id(number), tenant_id="acme", **changes)
        )
        self.attempt(number)

    def attempt(self, number: int, attempt: int = 1) -> None:
        self.ledger.messages.mark_sent(run_id(number), f"m{number}")
        self.ledger.dispatch(
            run_id(number), attempt, message_id="m", receipt_handle="h"
        )
        self.ledger.claim(
            run_id(number), attempt, f"dagster-{number}-{attempt}"
        )

    def record(self, number: int) -> RunRecord:
        record = self.platform.runs.get(run_id(number))
        assert record is not None
        return record

    # --- the scenes -----------------------------------------------------------------------------

    def configs(self) -> None:
        self.tenants.create("acme", json.dumps(config_document()), origin=WHO)

    def configs_put(self) -> None:
        self.tenants.put(
            "acme",
            json.dumps(config_document(timezone="Europe/Rome")),
            origin=WHO,
        )

    def api_keys(self) -> None:
        key = TenantKey(
            key_id="k1",
            tenant_id="acme",
            digest="d" * 64,
            name="Größe \N{SNOWMAN}",
            scopes=(Scope.READ, Scope.RUN),
            created_at=self.clock(),
            created_by="admin",
            expires_at=NOW + timedelta(days=9),
        )
        self.keys.add(key, WHO)

        session = BrowserSession(
            digest="5" * 64,
            tenant_id="acme",
            key_id="k1",
            created_at=self.clock(),
            ends_at=NOW + timedelta(hours=8),
        )
        SessionStore(self.keys.database).add(session)

    def api_keys_used_and_added(self) -> None:
        key = self.keys.get("k1")
        assert key is not None
        self.keys.add(
            replace(key, key_id="k2", created_by=None, expires_at=None), WHO
        )
        self.keys.note_use(key)
        session = BrowserSession(
            digest="6" * 64,
            tenant_id="acme",
            key_id="k1",
            created_at=self.clock(),
            ends_at=NOW + timedelta(hours=9),
            last_used_at=self.clock(),
        )
        SessionStore(self.keys.database).add(session, WHO)

    def paused(self) -> None:
        self.pauses.begin("acme", "a reason", origin=WHO)
        self.pauses.begin(None, "another", "for all to read", origin=WHO)

    def paused_anew(self) -> None:
        self.pauses.begin("acme", "another reason", origin=WHO)

    def resumed(self) -> None:
        self.pauses.end("acme", origin=WHO)
        self.pauses.end(None, "it is over", origin=WHO)

    def webhook_changes(self) -> None:
        hook = Webhook(
            webhook_id=f"wh_{'1' * 30}_1",
            tenant_id="acme",
            url="https://shop.example.com/hooks",
            events=(EventType.RUN_FAILED, EventType.FEED_PUBLISHED),
            secret="whsec_one",
            created_at=self.clock(),
        )
        second_hook = replace(
            hook,
            webhook_id=f"wh_{'1' * 30}_2",
            created_by="k1",
            description="ö",
        )
        entry = WHO.entry(
            Action.WEBHOOK_CREATED,
            "acme",
            hook.webhook_id,
            self.clock(),
            url="u",
        )
        self.webhooks.change("acme", added(hook), entry)
        self.webhooks.change("acme", added(second_hook))

    def webhooks_edited(self) -> None:
        (_, second_hook) = self.webhooks.of_tenant("acme")
        for rule in (
            rotated("whsec_two", self.clock()),
            failing(self.clock()),
            disabled(DisabledReason.GONE),
        ):
            self.webhooks.change(
                "acme", edited("acme", second_hook.webhook_id, rule)
            )

    def events(self) -> None:
        at = self.clock()
        data = {"run_id": RUN_ID, "counts": {"price": 1.5, "n": 3}, "text": "ü"}
        event = new_event(EventType.RUN_FAILED, "acme", data, at)
        self.webhooks.add_event(event)
        self.webhooks.add_event(
            replace(event, event_id=f"msg_{'2' * 32}", only_for="wh_1")
        )

    def events_tried(self) -> None:
        due = due_events(self.platform.webhooks, self.clock())
        (event,) = (event for event in due if event.only_for is None)
        at = event.occurred_at
        tries = (
            DeliveryAttempt(at, 500, 12, "answered 500"),
            DeliveryAttempt(at + MINUTE, None, 900, "late"),
        )
        deliveries = {
            "wh_1": Delivery("wh_1", tries, at + 5 * MINUTE),
            "wh_2": Delivery("wh_2", (DeliveryAttempt(at, 200, 3, None),)),
        }
        tried = replace(event, deliveries=deliveries, due_at=at + 5 * MINUTE)
        assert (
            store_event(self.platform.webhooks, tried, self.clock()) is not None
        )
        only = {"wh_2": deliveries["wh_2"]}
        event_of_all = self.webhooks.event(f"msg_{'2' * 32}")
        assert event_of_all is not None
        over = replace(event_of_all, deliveries=only, due_at=None)
        store_event(self.platform.webhooks, over, self.clock())

    def links_and_secrets(self) -> None:
        link = Link(
            link_id="l" * 16,
            tenant_id="acme",
            kind=LinkKind.FEED,
            digest="l" * 64,
            name="shop",
            created_at=self.clock(),
            created_by="admin:ops",
        )
        links = LinkStore(self.keys.database)
        links.add(link, WHO)
        links.count_upload("acme", link.link_id, "e1", self.clock())
        self.secret_and_upload_link()

    def link_used(self) -> None:
        links = LinkStore(self.keys.database)
        (link,) = links.of_tenant("acme", LinkKind.FEED)
        links.note_use(link)
        links.count_upload("acme", link.link_id, "e2", self.clock())

    def secret_and_upload_link(self) -> None:
        secrets = SecretStore(self.keys.database, "relay")
        secrets.put("acme", "sftp", SecretValue("p", "files.example.com"), WHO)
        entry = WHO.entry(
            Action.UPLOAD_LINK_CREATED, "acme", "v1", self.clock()
        )
        self.deletions.add_link(entry, 9)

    def trigger_states(self) -> None:
        before = self.triggers.get("acme")
        full = TriggerState(
            tenant_id="acme",
            cron="0 6 * * *",
            timezone="Europe/Rome",
            next_run_at=NOW + timedelta(hours=3),
            uploads=frozenset({"v2", "v1"}),
            first_upload_at=NOW,
            last_upload_at=NOW + MINUTE,
            upload_run_at=NOW - MINUTE,
            wanted=Trigger.UPLOAD,
            wanted_since=NOW,
            due_at=NOW + 2 * MINUTE,
        )
        self.triggers.update(
            "acme", lambda _: replace(full, revision=before.revision)
        )
        self.triggers.update(
            "other", lambda state: replace(state, next_run_at=NOW, due_at=NOW)
        )

    def pull_states(self) -> None:
        url = "https://files.example.com/stock.csv"
        change = self.pulls.change
        pull = PullConfig(url=url)
        change("acme", "v1", pulls.noted(pull, NOW))
        self.pulled = take_pull(self.pulls, "acme", "v1", NOW)
        change("acme", "v2", pulls.noted(pull, NOW))

    def pulls_that_end(self) -> None:
        change = self.pulls.change
        pull = PullConfig(url="https://files.example.com/stock.csv")
        mark = FileMark(
            etag='"v1"', last_modified="Sun, 01 Mar 2026 08:00:00 GMT"
        )
        staged = StagedFile(
            key="published/acme/pulls/v1/a-lease",
            source=pull.digest,
            target="tenants/acme/inbound/v1/pulled/20260301T120000Z-stock.csv",
            sha256="ab" * 32,
            mark=mark,
        )
        self.pulled.change(pulls.staged(staged))
        change("acme", "v1", pulls.asked(NOW))
        file_mark = FileMark(path="/out/stock.csv", size=5, mtime=1_700_000_000)
        second_pull = take_pull(self.pulls, "acme", "v2", NOW)
        second_pull.finish(pulls.failed("the server answered 500", NOW))
        change("acme", "v2", pulls.asked(NOW))
        second_pull = take_pull(self.pulls, "acme", "v2", NOW)
        second_pull.finish(pulls.unsettled(file_mark, NOW, MINUTE))

    def run_taken_from_triggers(self) -> None:
        before = self.triggers.get("acme")
        move = TriggerUpdate(
            before, replace(before, wanted=None, wanted_since=None, due_at=None)
        )
        new_run = NewRun(
            run_id=run_id(0), tenant_id="acme", trigger=Trigger.UPLOAD
        )
        self.ledger.start_triggered(new_run, move)

    def cancelled_at_once(self) -> None:
        self.ledger.request_cancel(run_id(0), origin=WHO)

    def reserved(self) -> None:
        new_run = NewRun(
            run_id=run_id(1),
            tenant_id="acme",
            vendors=("v2", "v1"),
            config_version=2,
            request_id="req-1",
            origin=WHO,
        )
        self.ledger.reserve(new_run, Idempotency("i" * 64, "f" * 64), 30)

    def sent(self) -> None:
        self.ledger.messages.mark_sent(run_id(1), "m1")

    def claimed(self) -> None:
        self.attempt(1)
        self.platform.runs.beat(run_id(1), 1)
        self.platform.runs.beat(run_id(1), 1, has_beaten=True)

    def entered_and_pinned(self) -> None:
        fence = self.record(1).fence
        self.ledger.pin(fence, 2, "base")
        self.ledger.enter_stage(fence, Stage.NORMALIZE)

    def looked_at(self) -> None:
        record = self.record(1)
        watch = {"watched_as": "1:2:executing:d", "watched_at": self.clock()}
        assert self.ledger.check_again(
            record, MINUTE, **watch, hidden_until=self.clock() + MINUTE
        )

    def attempt_lost(self) -> None:
        self.ledger.retry_later(
            self.record(1).fence, "THROTTLED", "the bucket was busy"
        )
        self.platform.runs.stop_heartbeats(run_id(1), 1)

    def failed(self) -> None:
        self.attempt(1, 2)
        failure = RunFailure(
            "NO_VENDOR_DATA", "nothing of any vendor", Stage.NORMALIZE
        )
        vendors = (
            VendorResult("v1", "found", NOW, 3, 5, 1, 4),
            VendorResult("v2", "missing", None, None, None, None, None),
        )
        outcome = Outcome(
            artifacts={"errors": "k", "summary": "s"},
            errors_artifact_key="k",
            counts={"total_rows": 5},
            vendor_results=vendors,
        )
        self.ledger.fail(self.record(1).fence, failure, outcome)

    def acknowledged(self) -> None:
        self.ledger.messages.acknowledge(run_id(1))

    def published(self) -> None:
        self.start(2)
        outcome = Outcome(
            vendor_results=(VendorResult("v1", "found", NOW, 3, 5, 1, 4),),
            artifacts={"merged": "k"},
            counts={"record_count": 7},
            changes=CHANGES,
            feed_key="published/acme/2.csv",
            feed_sha256="ab" * 32,
        )
        self.ledger.succeed(self.record(2).fence, outcome)

    def held(self) -> None:
        self.start(3)
        self.ledger.pin(self.record(3).fence, None, run_id(2))
        self.ledger.feeds.hold(
            self.record(3).fence,
            Outcome(
                feed_key="published/acme/3.csv",
                feed_sha256="cd" * 32,
                guards=(
                    TRIPPED,
                    {"guard": "price", "limit": 0.5, "note": "ö" * 300},
                ),
            ),
        )

    def released(self) -> None:
        decision = Release(
            "cd" * 32, frozenset({"skus_removed", "price"}), "seen", "ops"
        )
        self.ledger.feeds.release(run_id(3), decision, origin=WHO)

    def rolled_back(self) -> None:
        self.ledger.feeds.roll_back("acme", run_id(2), "as before", origin=WHO)

    def superseded(self) -> None:
        self.start(4)
        self.ledger.pin(self.record(4).fence, None, run_id(2))
        self.ledger.feeds.hold(
            self.record(4).fence,
            Outcome(feed_sha256="ef" * 32, guards=(TRIPPED,)),
        )
        self.start(5)
        outcome = Outcome(
            vendor_results=(VendorResult("v1", "found", NOW, 3, 5, 1, 4),),
            feed_key="published/acme/5.csv",
            feed_sha256="01" * 32,
        )
        self.ledger.succeed(self.record(5).fence, outcome)

    def adopted(self) -> None:
        for number in (6, 7):
            self.ledger.adopt(
                Job(run_id(number), "acme", ("v1",), 1), "req-9", NOW
            )
        self.ledger.messages.note_receive(
            run_id(7), "m7", "h7", hidden_for=timedelta(hours=1)
        )

    def cancel_requested(self) -> None:
        self.attempt(6)
        self.ledger.request_cancel(run_id(6), origin=WHO)

    def cancelled(self) -> None:
        self.ledger.cancel(run_id(6))
        self.attempt(7)

    def poisoned(self) -> None:
        self.ledger.poison(run_id(7), "it ends no attempt")
        self.ledger.messages.record_dlq(run_id(7), "dlq-7")
        self.ledger.messages.note_reports(
            run_id(7), Outcome(artifacts={"errors": "k"})
        )
        self.ledger.messages.acknowledge(run_id(7))

    def dead_letter_resolved(self) -> None:
        entry = WHO.entry(
            Action.DEAD_LETTER_DISCARDED, "acme", run_id(7), self.clock()
        )
        self.ledger.messages.resolve_dead_letter(run_id(7), entry)
        self.ledger.adopt_dead(Job(run_id(8), "acme"), "it died", "dlq-8", NOW)

    def not_sent(self) -> None:
        replacement = NewRun(
            run_id=run_id(9), tenant_id="acme", in_place_of=run_id(8)
        )
        self.ledger.reserve(replacement, Idempotency("j" * 64, "f" * 64), 30)

    def uncounted(self) -> None:
        self.ledger.uncount(self.ledger.tombstone(run_id(9)))

    def by_hand(self) -> None:
        self.ledger.start_by_hand(run_id(10), "acme", 2)
        self.ledger.cancel(run_id(10))

    def expired(self) -> None:
        assert self.platform.runs.expire(self.record(10), self.clock())

    def deletion(self) -> None:
        self.deletions.ask("acme", timedelta(hours=1), WHO)
        self.deletions.restore("acme", WHO)
        self.deletions.ask("acme", timedelta(hours=1), WHO)
        now = self.clock()
        change_deletion(
            self.deletions,
            "acme",
            lambda each: deletion_rules.stopped(each, now),
        )

    def deleting(self) -> None:
        now = self.clock()

        def go_on(deletion: Deletion) -> Deletion:
            started = deletion_rules.begun(deletion, now)
            return deletion_rules.noted(started, "runs", 3, "files", "mark")

        change_deletion(self.deletions, "acme", go_on)

    def deleted(self) -> None:
        end_deletion(self.deletions, "acme", 2)

    def swept(self) -> None:
        item = self.deletions.queue.get("DELETION#acme")
        assert item is not None
        taken_item = self.deletions.queue.take(item, self.clock())
        assert taken_item is not None
        leased = LeasedItem(self.deletions.queue, taken_item, self.clock)
        leased.change(deletion_rules.sweeping)

    def overrides(self) -> None:
        (override,) = load_overrides([{"sku": "A-1", "price": "9.99"}], ())
        self.override_store.put("beta", [override], WHO)

    def overrides_changed(self) -> None:
        self.override_store.accept(
            "beta", {"B-2": Decimal("5.00")}, run_id(1), "a reason", WHO
        )
        self.override_store.remove("beta", ["A-1"], WHO)

    def delivery_asked(self) -> None:
        self.deliveries.change("beta", "bazaar", self.delivery_request(1))
        for instant in (self.clock(), self.clock() + 2 * MINUTE):
            leased = take_delivery(self.deliveries, "beta", instant)
        rule = sending.failed(leased.value, "no", NOW, is_doubtful=True)
        leased.finish(rule)

    def delivery_request(self, seq: int) -> Rule:
        publication = PublicationMark(run_id(seq), seq, NOW)
        entry = DeliveryConfig(**DELIVERY)
        return requests.asked(entry, publication, self.clock())

    def delivered(self) -> None:
        self.deliveries.change("beta", "bazaar", self.delivery_request(2))
        leased = take_delivery(self.deliveries, "beta", self.clock())
        state = leased.value
        assert state.pending is not None
        assert state.doubtful_seqs == (1,)
        sent = SentFile(state.pending, "5" * 64, "k", "feed", 7, state.asked_at)
        leased.finish(sending.delivered(sent, NOW))

    def pulls_of_a_part_with_changes(self) -> None:
        url = "sftp://acme@files.example.com/out/*.csv"
        name = "v2/stock"
        self.pulls.change(
            "beta",
            name,
            pulls.noted(PullConfig(url=url, host_key=HOST_KEY), NOW),
        )
        pull = take_pull(self.pulls, "beta", name, NOW)
        full = FileMark(path="/out/full.csv", size=5, mtime=1_700_000_000)
        series = FileSeries(
            is_begun=True,
            pulled=frozenset([full.digest]),
            forgotten=FileMark(
                path="/out/old.csv", size=4, mtime=1_600_000_000
            ),
            seen={"0123456789abcdef": NOW},
        )
        pull.change(pulls.surveyed(series))
        pull.change(pulls.passed_over(full))
        pull.finish(pulls.postponed(NOW, MINUTE))


SCENES: tuple[Callable[[Story], None], ...] = tuple(
    act
    for name, act in vars(Story).items()
    if not name.startswith("_") and callable(act)
)
HELPERS = {"start", "attempt", "record", "delivery_request"}


def play(
    touch: Callable[[Platform], None] = lambda _: None,
) -> Iterator[tuple[str, Items]]:
    """Yield each scene and the items that it has written; a removed one is empty.

    What lies in the tables is touched before each scene.
    """
    clock = FakeClock()
    with embedded_platform(clock) as platform:
        story = Story(platform, clock)
        for scene in SCENES:
            if scene.__name__ in HELPERS:
                continue
            clock.advance(seconds=7)
            touch(platform)
            before = items_of(platform)
            scene(story)
            after = items_of(platform)
            written = {
                key: item
                for key, item in after.items()
                if before.get(key) != item
            }
            yield (
                scene.__name__,
                {
                    **written,
                    **{key: {} for key in before.keys() - after.keys()},
                },
            )


def told(scenes: Iterable[tuple[str, Items]]) -> Any:
    """Return a story as JSON has it."""
    texts = {
        name: sorted(
            settled(json.dumps([key, item], sort_keys=True, default=sorted))
            for key, item in items.items()
        )
        for name, items in scenes
    }
    return {
        name: [json.loads(item) for item in scene]
        for name, scene in texts.items()
    }


def as_text(found: Any) -> str:
    """Return the story as the file has it: an item a line."""
    scenes = (
        f'"{name}": [\n'
        + ",\n".join(json.dumps(item) for item in items)
        + "\n]"
        for name, items in found.items()
    )
    return "{\n" + ",\n".join(scenes) + "\n}\n"


def test_items_are_stored_as_they_were() -> None:
    scenes = told(play())
    if os.environ.get("WRITE_STORED_ITEMS"):
        STORED.write_text(as_text(scenes))
    stored = json.loads(STORED.read_text())
    assert scenes.keys() == stored.keys()
    for name, items in scenes.items():
        assert items == stored[name], name


def test_the_pull_of_a_part_comes_back_as_it_was_stored() -> None:
    with embedded_platform() as platform:
        name = "v2/stock"
        series = FileSeries(
            is_begun=True,
            pulled=frozenset(["a", "b"]),
            forgotten=FileMark(path="/out/old.csv", size=4, mtime=1),
            seen={"c": NOW},
        )
        stored = platform.pulls.change("acme", name, pulls.surveyed(series))
        assert stored is not None
        assert (stored.part_id, stored.series) == ("stock", series)
        assert platform.pulls.of_tenant("acme") == {name: stored}


KINDS = frozenset(map(str, schema.Kind)) - {
    "HIDDEN",
    "EVENTS",
    "PULLS",
    "DELIVERIES",
}
LATER: dict[str, Any] = {
    "schema": {"N": "2"},
    "colour": {"S": "blue"},
    "shade": {"M": {"of": {"L": [{"N": "3"}]}}},
}


def as_the_next_release_stores(platform: Platform) -> None:
    """Give every item a greater schema, and attributes that this release does not know."""
    for place, item in items_of(platform).items():
        if "colour" not in item:
            table = "relay-" + place.partition("/")[0]
            stored = platform.clients.dynamodb.get_item(
                TableName=table, Key={"pk": item["pk"]}
            )
            platform.clients.dynamodb.put_item(
                TableName=table, Item={**stored["Item"], **LATER}
            )


def test_items_of_every_kind_that_the_next_release_has_stored_are_read_and_written_as_ever() -> (
    None
):
    written_places: set[str] = set()
    changed: set[str] = set()

    def of_this_release(items: Items) -> Items:
        """Return what was written without what is not known, which has stayed in what was there."""
        stripped: Items = {}
        for place, item in items.items():
            if place in written_places and item:
                assert {name: item.get(name) for name in LATER} == LATER, place
                changed.add(place.partition("/")[2].partition("#")[0])
            attributes = {
                name: value for name, value in item.items() if name not in LATER
            }
            stripped[place] = (
                {**attributes, "schema": {"N": "1"}} if item else {}
            )
            written_places.difference_update([place] if not item else [])
        written_places.update(place for place, item in items.items() if item)
        return stripped

    scenes = play(as_the_next_release_stores)
    assert told(
        (name, of_this_release(items)) for name, items in scenes
    ) == json.loads(STORED.read_text())
    # Items of these kinds are written once.
    assert changed == KINDS - {
        "IDEMP",
        "GONE",
        "CONFIG",
        "SESSION",
        "NAME",
    }


def test_the_story_has_items_of_every_kind_each_with_its_schema() -> None:
    items = [
        item
        for scene in json.loads(STORED.read_text()).values()
        for item in scene
    ]
    assert all(item["schema"] == {"N": "1"} for _, item in items if item)
    kinds = {
        place.partition("/")[2].partition("#")[0]
        for place, _ in items
        if "#" in place
    }
    assert kinds == KINDS
