"""Uploads start runs: events taken in, noted, judged and started, on embedded AWS."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.model import Trigger
from support.triggers_world import NOON, TriggersWorld, s3_event, triggers_world

KEY = "tenants/acme/inbound/vendor_1/feed.csv"
QUIET = {"on_upload": {"quiet_seconds": 60}}
AT_ONCE = {"on_upload": {"quiet_seconds": 0}}


@pytest.fixture
def world() -> Iterator[TriggersWorld]:
    with triggers_world() as world:
        yield world


def uploaded(
    world: TriggersWorld, vendor_id: str = "vendor_1", after_seconds: float = 0
) -> None:
    """Upload a feed, and tell of it as if that were the world's time."""
    key = world.upload(vendor_id)
    world.drain()
    world.tell(s3_event(key, world.clock.advance(seconds=after_seconds)))
    world.take_in()


def test_what_the_bucket_itself_tells_starts_a_run_of_all_vendors(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    world.upload()
    assert world.take_in() == "2 events, 1 runs started", (
        "one is S3's own, to try the way"
    )
    (run,) = world.runs()
    assert (run.trigger, run.vendors, run.status) == (
        Trigger.UPLOAD,
        None,
        RunStatus.QUEUED,
    )
    assert run.config_version == 1
    assert run.message_id is not None


def test_a_run_starts_when_the_last_upload_is_quiet_seconds_old(
    world: TriggersWorld,
) -> None:
    world.store(**QUIET)
    for _ in range(3):
        uploaded(world, after_seconds=40)
    assert world.look(59) == 0
    assert world.look(1) == 1
    assert len(world.runs()) == 1


def test_uploads_put_a_run_off_for_ten_times_the_quiet_time_and_no_longer(
    world: TriggersWorld,
) -> None:
    world.store(**QUIET)
    uploaded(world)
    started = 0
    while not started:
        uploaded(world, after_seconds=30)
        started = len(world.runs())
    assert world.clock() == NOON + timedelta(seconds=600)


def test_uploads_start_one_run_a_minute_at_most(world: TriggersWorld) -> None:
    world.store(**AT_ONCE)
    uploaded(world)
    world.end(world.runs()[0], vendor_1=None)
    uploaded(world, after_seconds=10)
    assert world.look(49) == 0
    assert world.look(1) == 1


def test_events_in_any_order_told_twice_are_one_run(
    world: TriggersWorld,
) -> None:
    world.store(**QUIET)
    key = world.upload()
    world.drain()
    events = [s3_event(key, NOON - timedelta(seconds=n)) for n in range(40)]
    shuffled = [*events, *events]
    random.Random(17).shuffle(shuffled)
    for event in shuffled:
        world.tell(event)
    world.take_in()
    assert world.look(59) == 0
    assert world.watch(120, every=40) == 1


def test_an_upload_that_the_last_run_has_pinned_is_spent(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    uploaded(world)
    world.end(world.runs()[0], vendor_1=world.modified())
    world.tell(s3_event(KEY, world.clock()))
    world.take_in()
    assert world.watch(120, every=40) == 0
    assert world.state.uploads == frozenset()


LINK_ID = "0123456789abcdef"
LINK_KEY = f"tenants/acme/inbound/vendor_1/link-{LINK_ID}-20260301T12-01"


def send_form(world: TriggersWorld, count: int, key: str = LINK_KEY) -> None:
    """Send a form of a supplier's page again and again; S3 tells of it twice."""
    for _ in range(count):
        event = s3_event(key, world.clock.advance(milliseconds=1))
        world.tell(event)
        world.tell(event)
    world.take_in()


def test_a_supplier_s_files_start_something_twenty_times_an_hour(
    world: TriggersWorld,
) -> None:
    world.store(**QUIET)
    send_form(world, 30)
    twentieth = NOON + timedelta(milliseconds=20)
    assert world.state.last_upload_at == twentieth
    arrived = world.platform.links.upload_count("acme", LINK_ID, NOON)
    assert arrived == 20


def test_a_file_over_the_quota_starts_nothing_and_others_do(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    for number in range(20):
        world.platform.links.count_upload(
            "acme", LINK_ID, f"event {number}", NOON
        )
    world.platform.objects.put(LINK_KEY, b"late")
    world.drain()
    send_form(world, 1)
    assert world.watch(120, every=40) == 0
    assert not world.runs()
    send_form(world, 1, LINK_KEY.replace(LINK_ID, "f" * 16))
    assert len(world.runs()) == 1


def test_a_supplier_s_quota_is_new_with_each_hour(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    send_form(world, 30)
    links = world.platform.links
    next_hour = NOON + timedelta(hours=1)
    assert links.upload_count("acme", LINK_ID, next_hour) == 0
    assert links.count_upload("acme", LINK_ID, "event", next_hour)
    assert not links.count_upload("acme", LINK_ID, "event", NOON)


class Unlisted:
    """A bucket that nobody may list."""

    def __init__(self, objects: Any) -> None:
        self._objects = objects

    def __getattr__(self, name: str) -> Any:
        assert name not in ("latest_object", "list_objects")
        return getattr(self._objects, name)


def test_an_event_leads_to_the_newest_upload_without_a_listing(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    uploaded(world)
    world.end(world.runs()[0], vendor_1=world.modified() - timedelta(seconds=1))
    world.platform = replace(
        world.platform, objects=Unlisted(world.platform.objects)
    )
    world.tell(s3_event(KEY, world.clock()))
    world.take_in()
    assert world.watch(120, every=40) == 1


def test_an_event_of_an_upload_that_is_gone_leads_to_a_listing(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    uploaded(world)
    world.end(world.runs()[0], vendor_1=world.modified() - timedelta(seconds=1))
    world.tell(s3_event(KEY + ".old", world.clock()))
    world.take_in()
    assert world.watch(120, every=40) == 1


def test_an_upload_that_the_last_run_of_its_vendor_came_before_is_not_spent(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    uploaded(world)
    run = world.runs()[0]
    world.end(
        run,
        vendor_1=world.modified() - timedelta(seconds=1),
        vendor_2=world.modified(),
    )
    world.tell(s3_event(KEY, world.clock()))
    world.take_in()
    assert world.watch(120, every=40) == 1


def test_a_run_of_other_vendors_does_not_count(world: TriggersWorld) -> None:
    world.store(**AT_ONCE)
    uploaded(world)
    world.end(world.runs()[0], vendor_1=world.modified())
    world.end(
        world.platform.submission.submit("acme", ["vendor_2"]), vendor_2=None
    )
    world.tell(s3_event(KEY, world.clock()))
    world.take_in()
    assert world.watch(120, every=40) == 0


def test_while_the_tenant_is_busy_one_follow_up_is_noted(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    posted = world.platform.submission.submit("acme")
    for vendor in ("vendor_1", "vendor_2", "vendor_1"):
        uploaded(world, vendor, after_seconds=1)
    assert world.watch(300, every=60) == 0
    assert world.state.wanted is Trigger.UPLOAD
    world.end(posted, vendor_1=None, vendor_2=None)
    assert world.watch(300, every=60) == 1
    assert [run.trigger for run in world.runs()] == [
        Trigger.API,
        Trigger.UPLOAD,
    ]


def test_what_the_active_run_reads_after_all_is_spent_once_it_has_ended(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    posted = world.platform.submission.submit("acme")
    uploaded(world)
    world.end(posted, vendor_1=world.modified())
    assert world.watch(300, every=60) == 0


def test_what_the_active_run_reads_is_spent_also_where_it_ends_before_the_start(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    posted = world.platform.submission.submit("acme")
    pauses = world.platform.pauses

    class EndsTheRun:
        def of(self, tenant_id: str) -> Any:
            if not world.runs()[0].has_ended:
                world.end(posted, vendor_1=world.modified())
            return pauses.of(tenant_id)

    world.platform = replace(world.platform, pauses=EndsTheRun())  # type: ignore[arg-type]
    uploaded(world)
    world.end(posted, vendor_1=world.modified())
    assert world.watch(300, every=60) == 0
    assert len(world.runs()) == 1


def test_a_paused_tenant_starts_once_when_the_pause_ends(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    world.platform.pauses.begin(None, "maintenance")
    for _ in range(3):
        uploaded(world, after_seconds=120)
    assert world.watch(60, every=20) == 0
    world.platform.pauses.end(None)
    assert world.watch(300, every=60) == 1


def test_what_was_noted_survives_whoever_noted_it(world: TriggersWorld) -> None:
    world.store(**QUIET)
    uploaded(world)
    queue = world.platform.uploads
    assert queue is not None
    assert queue.receive() == []
    assert world.state.due_at == NOON + timedelta(seconds=60)


@pytest.mark.parametrize(
    "key",
    [
        "tenants/nobody/inbound/vendor_1/feed.csv",
        "tenants/acme/inbound/vendor_10/feed.csv",
        "tenants/acme/inbound/vendor_1/folder/",
        "tenants/acme",
        "published/acme/5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11.csv",
        "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11/tenants/acme/inbound/vendor_1/feed.csv",
    ],
)
def test_an_event_of_another_key_is_deleted(
    world: TriggersWorld, key: str
) -> None:
    world.store(**AT_ONCE)
    world.drain()
    world.tell(s3_event(key))
    assert world.take_in() == "1 events, 0 runs started"
    assert world.dead() == []
    assert world.state.uploads == frozenset()


def test_an_event_of_a_tenant_without_the_trigger_is_deleted(
    world: TriggersWorld,
) -> None:
    world.store(schedule={"cron": "0 6 * * *"})
    uploaded(world)
    world.store(**AT_ONCE)
    assert world.watch(60, every=20) == 0


def test_an_event_of_another_bucket_is_deleted(world: TriggersWorld) -> None:
    world.store(**AT_ONCE)
    world.drain()
    world.tell(s3_event(KEY, bucket="another"))
    assert world.take_in() == "1 events, 0 runs started"


def test_nothing_that_a_run_writes_is_told(world: TriggersWorld) -> None:
    world.store(**AT_ONCE)
    world.take_in()
    for key in (
        "published/acme/x.csv",
        f"{world.runs()}/tenants/acme/inbound/vendor_1/a.csv",
    ):
        world.platform.objects.put(key, b"x")
    queue = world.platform.uploads
    assert queue is not None
    assert queue.receive() == []


@pytest.mark.parametrize(
    "body", ["no event", "[]", '{"Records": [{}]}', json.dumps({"a": 1})]
)
def test_what_is_no_event_goes_to_the_dead_letters(
    world: TriggersWorld, body: str
) -> None:
    world.store(**AT_ONCE)
    world.tell(body)
    world.tell(s3_event(world.upload()))
    assert "1 runs started" in world.take_in()
    assert world.dead() == [body]


def test_a_trigger_that_is_taken_back_starts_nothing(
    world: TriggersWorld,
) -> None:
    world.store(**QUIET)
    uploaded(world)
    world.store()
    assert world.watch(300, every=60) == 0


def test_a_run_whose_message_cannot_be_sent_stays_and_is_sent_later(
    world: TriggersWorld,
) -> None:
    world.store(**AT_ONCE)
    url = world.platform.settings.queue_url
    world.platform.clients.sqs.delete_queue(QueueUrl=url)
    uploaded(world)
    (run,) = world.runs()
    assert run.message_id is None
    assert run.due_at == world.clock() + timedelta(seconds=60)


def test_without_a_queue_uploads_start_nothing() -> None:
    with triggers_world() as world:
        settings = world.platform.settings.model_copy(
            update={"uploads_queue_url": None}
        )
        world.platform = replace(world.platform, settings=settings)
        assert (
            world.take_in()
            == "UPLOADS_QUEUE_URL is not set: uploads start nothing"
        )
