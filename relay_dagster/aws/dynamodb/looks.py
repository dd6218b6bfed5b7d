"""What looks at runs read and write in the runs table: what is due, what was seen, heartbeats.

A row of the index of what is due has its lane and a shard as partition, the instant as sort key:
who asks for what is due reads that, however many runs there are, and no partition takes all writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import islice

from botocore.exceptions import ClientError

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.reads import Table
from relay_dagster.aws.dynamodb.serialization import (
    beat_key,
    epoch_seconds,
    from_record,
    marshal,
    run_key,
    to_record,
    unmarshal,
)
from relay_dagster.aws.error_mapping import (
    CONDITION_FAILED,
    TRANSACTION_COLLIDED,
    error_code,
    maps_aws_errors,
)
from relay_dagster.runs.commits import LookPolicy
from relay_dagster.runs.errors import FenceLostError
from relay_dagster.runs.model import Lane, RunRecord
from relay_dagster.runs.ports import utc_now

# All that a look may write of a record.
_SEEN = (
    schema.DUE_SHARD,
    schema.DUE_AT,
    "due_lane",
    "hidden_until",
    "reports_tried_at",
    "watched_as",
    "watched_at",
)
_BEAT_LIFE = timedelta(days=7)
_MOST_WRITES = 25
_CHANGED = CONDITION_FAILED | TRANSACTION_COLLIDED


class RunLooks:
    """The half of the run store that looks at runs need.

    Args:
        clients: AWS.
        table: the runs table.
        audit_table: where it is told who changed what.
        tenants_table: where it is told which tenants are being deleted; without one none is.
        sleep: how to wait.
    """

    def __init__(
        self,
        clients: Clients,
        table: str,
        audit_table: str,
        tenants_table: str | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clients = clients
        self._audit_table = audit_table
        self._tenants_table = tenants_table
        self._table = Table(clients, table, sleep=sleep)

    # --- what is due ----------------------------------------------------------------------------

    @maps_aws_errors
    def due(self, lane: Lane, until: datetime, limit: int = 200) -> list[RunRecord]:
        """Return runs that are due in a lane up to an instant, the longest due first.

        Each is read consistently: the index lags.
        """
        items = self._table.in_order(self._table.due_keys(lane, until, limit))
        return [each for each in map(to_record, items) if each.is_due(lane, until)]

    @maps_aws_errors
    def note_look(self, record: RunRecord) -> bool:
        """Write what a look has seen of a record, and when the next is due.

        Returns:
            False where the record is not as it was read; nothing is written then.
        """
        item = from_record(record)
        sets = ", ".join(f"{name} = :{name}" for name in _SEEN if name in item)
        removes = ", ".join(name for name in _SEEN if name not in item)
        seen = {f":{name}": item[name] for name in _SEEN if name in item}
        clauses = [f"{verb} {what}" for verb, what in (("SET", sets), ("REMOVE", removes)) if what]
        try:
            self._clients.dynamodb.update_item(
                TableName=self._table.name,
                Key=marshal({schema.KEY: run_key(record.run_id)}),
                UpdateExpression=" ".join(clauses),
                ConditionExpression="revision = :revision",
                ExpressionAttributeValues={**seen, ":revision": item["revision"]},
            )
        except ClientError as error:
            if error_code(error) in _CHANGED:
                return False
            raise
        return True

    @maps_aws_errors
    def schedule_all(self, looks: LookPolicy, now: datetime) -> int:
        """Note of each unsettled run when to look at it, where that is not noted; return how many.

        Reads the whole table: for one that an older release has filled.
        """
        records = map(to_record, self._table.items_with("requested_at"))
        open_ones = (each for each in records if each.acknowledged_at is None)
        unscheduled = [each for each in open_ones if each.due_lane is None]
        return sum(self.note_look(looks.scheduled(None, each, now)) for each in unscheduled)

    @maps_aws_errors
    def put_many(self, records: Iterable[RunRecord]) -> None:
        """Store records as they are, in batches, past the ledger: for benchmarks and their like.

        Locks, feed pointers and keys that belong to them are not written.

        Raises:
            ThrottledError: DynamoDB did not take all of them in many tries.
        """
        requests = ({"PutRequest": {"Item": from_record(record)}} for record in records)
        while batch := list(islice(requests, _MOST_WRITES)):
            self._table.write_all(batch)

    # --- heartbeats -----------------------------------------------------------------------------

    @maps_aws_errors
    def beat(self, run_id: str, attempt: int, *, has_beaten: bool = False) -> int:
        """Count an attempt's heartbeat up and return the new count.

        Where it ``has_beaten`` and nothing tells of that any more, its tenant has been deleted.

        ``execution/heartbeat.py`` calls, and tells what becomes of it. The item is no part of any
        transaction, so beats never collide with the run's own writes.

        Raises:
            FenceLostError: the attempt was given up; its process is to end.
        """
        expires = epoch_seconds(utc_now() + _BEAT_LIFE)
        known = f" AND attribute_exists({schema.KEY})" if has_beaten else ""
        try:
            answer = self._clients.dynamodb_beats.update_item(
                TableName=self._table.name,
                Key=marshal({schema.KEY: beat_key(run_id, attempt)}),
                UpdateExpression="ADD beats :one SET #expiry = :expiry",
                ConditionExpression=f"attribute_not_exists(stopped){known}",
                ExpressionAttributeNames={"#expiry": schema.EXPIRY},
                ExpressionAttributeValues=marshal({":one": 1, ":expiry": expires}),
                ReturnValues="UPDATED_NEW",
            )
        except ClientError as error:
            if error_code(error) in CONDITION_FAILED:
                raise FenceLostError(run_id, f"attempt {attempt} was given up") from error
            raise
        return int(unmarshal(answer["Attributes"])["beats"])

    @maps_aws_errors
    def stop_beats(self, run_id: str, attempt: int) -> None:
        """Let an attempt's process know, at its next heartbeat, that the attempt was given up."""
        expires = epoch_seconds(utc_now() + _BEAT_LIFE)
        self._clients.dynamodb.update_item(
            TableName=self._table.name,
            Key=marshal({schema.KEY: beat_key(run_id, attempt)}),
            UpdateExpression="SET stopped = :yes, #expiry = :expiry",
            ExpressionAttributeNames={"#expiry": schema.EXPIRY},
            ExpressionAttributeValues=marshal({":yes": True, ":expiry": expires}),
        )

    def heartbeats(self, records: Iterable[RunRecord]) -> dict[str, int]:
        """Return the count of each record's latest attempt, by run_id; 0 before the first beat.

        A count says nothing by itself: ``reconciler/tick.py`` notes when it last changed.
        """
        wanted = {beat_key(each.run_id, each.attempt): each.run_id for each in records}
        found = self._table.batch(wanted)
        return {
            run_id: int(unmarshal(found.get(key, {})).get("beats", 0))
            for key, run_id in wanted.items()
        }
