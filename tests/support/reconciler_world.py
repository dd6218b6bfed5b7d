"""A platform on embedded AWS, a Dagster instance, an intake and a reconciler, on one clock."""

import json
import uuid
from typing import Any

import dagster as dg

from relay_dagster import tags
from relay_dagster.intake.tick import IntakeTick
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.dagster_instance import DagsterExecutions
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import NewRun, RunRecord
from relay_dagster.wiring import Platform
from support.fakes import FakeClock

STATUS = dg.DagsterRunStatus


class World:
    """A platform, a Dagster instance, an intake and a reconciler, on one clock."""

    def __init__(
        self, platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
    ) -> None:
        self.platform = platform
        self.instance = instance
        self.clock = clock

    def tick(self) -> int:
        """Reconcile once; return how many runs were due."""
        dagster = DagsterExecutions(self.instance)
        return ReconcileTick(self.platform, dagster, clock=self.clock).run()

    def ticks(self, seconds: float, every: float = 5) -> int:
        """Reconcile again and again for so long; return how many looks at runs that took."""
        count = self.tick()
        for _ in range(int(seconds / every)):
            self.clock.advance(seconds=every)
            count += self.tick()
        return count

    def take_in(self, room: int = 1, **options: Any) -> list[str]:
        """Take in once, without waiting; return the runs that are asked for."""
        dagster = DagsterExecutions(self.instance)
        intake = IntakeTick(
            self.platform, dagster, room, clock=self.clock, **options
        )
        return [record.run_id for record in intake.run(poll_seconds=0)]

    def posted(self, tenant_id: str = "acme") -> RunRecord:
        """Reserve a run, send its message and receive it."""
        request = NewRun(run_id=str(uuid.uuid4()), tenant_id=tenant_id)
        record = self.platform.ledger.reserve(request).record
        self.platform.ledger.messages.mark_sent(
            record.run_id, self.platform.queue.send(record.job)
        )
        return self.received()

    def received(self) -> RunRecord:
        (message,) = self.platform.queue.receive(1)
        run_id = Job.parse(message.body).run_id
        self.platform.ledger.adopt(Job.parse(message.body))
        return self.platform.ledger.messages.note_receive(
            run_id, message.message_id, message.receipt_handle
        )

    def dispatched(
        self, record: RunRecord | None = None, attempt: int = 1
    ) -> RunRecord:
        record = record or self.posted()
        return self.platform.ledger.dispatch(
            record.run_id,
            attempt,
            message_id=str(record.message_id),
            receipt_handle=str(record.receipt_handle),
        )

    def executing(
        self, status: dg.DagsterRunStatus = STATUS.STARTED
    ) -> RunRecord:
        """Return a run that a Dagster run of this status has claimed."""
        record = self.dispatched()
        dagster_run_id = self.add_run(record, status)
        return self.platform.ledger.claim(
            record.run_id, record.attempt, dagster_run_id
        )

    def add_run(self, record: RunRecord, status: dg.DagsterRunStatus) -> str:
        run = dg.DagsterRun(
            job_name="inventory_sync",
            run_id=str(uuid.uuid4()),
            status=status,
            tags=tags.run_tags(
                record.run_id, record.tenant_id, attempt=record.attempt
            ),
        )
        self.instance.add_run(run)
        return run.run_id

    def current(self, record: RunRecord) -> RunRecord:
        record_now = self.platform.runs.get(record.run_id)
        assert record_now is not None
        return record_now

    def in_sight(self) -> list[str]:
        """Return the run ids of the messages that the intake would get now."""
        return [
            Job.parse(message.body).run_id
            for message in self.platform.queue.receive(10)
        ]

    def report(self, record: RunRecord, name: str) -> dict[str, Any]:
        key = self.platform.objects.artifacts(record.run_id, record.tenant_id)[
            name
        ]
        return json.loads(self.platform.objects.read(key))
