"""Everything that an installation keeps, as text: what is left of a tenant is what still names it.

Every item of every table, object version, unfinished upload, message and alarm; every row of every
table of Dagster's database, and every other file of its folder.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from relay_dagster.wiring import Platform

Kept = Mapping[str, str]
"""A place, and what lies there."""


def kept_by_aws(platform: Platform) -> dict[str, str]:
    """Return all items, objects, messages and alarms by their places."""
    return {
        name: text
        for contents in (
            _items(platform),
            _objects(platform),
            _messages(platform),
            _alarms(platform),
        )
        for name, text in contents
    }


def kept_by_dagster(home: Path) -> dict[str, str]:
    """Return all rows of a Dagster home's SQLite databases, and the texts of its other files."""
    contents: dict[str, str] = {}
    for path in sorted(file for file in home.rglob("*") if file.is_file()):
        place = str(path.relative_to(home))
        if path.name.endswith(".db"):  # one is called so, and no more
            contents |= {f"{place}/{name}": text for name, text in _rows(path)}
        elif not path.name.endswith((".db-wal", ".db-shm", ".db-journal")):
            contents[place] = path.read_text(errors="replace")
    return contents


def kept_by_database(url: str) -> dict[str, str]:
    """Return all rows of all tables of a database."""
    engine = sa.create_engine(url)
    contents: dict[str, str] = {}
    try:
        with engine.connect() as connection:
            tables = sa.MetaData()
            tables.reflect(connection)
            for table in tables.sorted_tables:
                for number, row in enumerate(
                    connection.execute(sa.select(table))
                ):
                    contents[f"{table.name}/{number}"] = repr(tuple(row))
    finally:
        engine.dispose()
    return contents


def naming(kept: Kept, names: Collection[str]) -> dict[str, str]:
    """Return what names one of these, in its place or in its text."""
    return {
        place: text
        for place, text in kept.items()
        if any(name in place or name in text for name in names)
    }


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
        for (table,) in tables.fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - its own names
            for number, row in enumerate(rows):
                yield f"{table}/{number}", repr(row)


def _items(platform: Platform) -> Iterator[tuple[str, str]]:
    settings = platform.settings
    client = platform.clients.dynamodb
    for table in (
        settings.runs_table,
        settings.tenants_table,
        settings.audit_table,
    ):
        for page in client.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                yield (
                    f"{table}/{item['pk']['S']}",
                    json.dumps(item, sort_keys=True, default=str),
                )


def _objects(platform: Platform) -> Iterator[tuple[str, str]]:
    bucket = platform.settings.artifact_bucket
    client = platform.clients.s3
    for page in client.get_paginator("list_object_versions").paginate(
        Bucket=bucket
    ):
        for version in [
            *page.get("Versions", []),
            *page.get("DeleteMarkers", []),
        ]:
            yield f"s3/{version['Key']}@{version['VersionId']}", ""
    for page in client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket
    ):
        for upload in page.get("Uploads", []):
            yield f"s3-upload/{upload['Key']}@{upload['UploadId']}", ""


def _messages(platform: Platform) -> Iterator[tuple[str, str]]:
    """Yield the messages that can be received, and leave them in sight."""
    settings = platform.settings
    client = platform.clients.sqs
    uploads = settings.uploads_queue_url
    urls = [
        settings.queue_url,
        settings.dlq_url,
        *([uploads] if uploads else []),
    ]
    for url in urls:
        received: list[Any] = []
        while messages := client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=60,
            MessageAttributeNames=["All"],
        ).get("Messages"):
            received += messages
        for message in received:
            handle = message["ReceiptHandle"]
            client.change_message_visibility(
                QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0
            )
            attributes = json.dumps(
                message.get("MessageAttributes", {}), default=str
            )
            yield (
                f"{url}/{message['MessageId']}",
                f"{message['Body']} {attributes}",
            )


def _alarms(platform: Platform) -> Iterator[tuple[str, str]]:
    for page in platform.clients.cloudwatch.get_paginator(
        "describe_alarms"
    ).paginate():
        for alarm in page["MetricAlarms"]:
            yield f"alarm/{alarm['AlarmName']}", json.dumps(alarm["Dimensions"])
