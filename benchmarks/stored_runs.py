"""Run records that are written past the ledger, for benchmarks and tests of many runs."""

from __future__ import annotations

from collections.abc import Iterable

from relay_dagster.aws.dynamodb.run_writes import to_item
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform


def put_many(platform: Platform, records: Iterable[RunRecord]) -> None:
    """Store records as they are, in batches, past the ledger.

    Locks, feed pointers and keys that belong to them are not written.
    """
    table = platform.database.runs
    puts = (table.put("record", to_item(record)) for record in records)
    table.write_all(
        {"PutRequest": {"Item": put.arguments["Item"]}} for put in puts
    )
