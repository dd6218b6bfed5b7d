"""The demo's output: answers of the API, files, the run's record, and what each option does."""

import csv
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from relay_core.config import load_config, parse_document
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.run import RunStages
from relay_core.samples import sample_config_text, sample_feeds
from relay_core.validation.vendor_failures import VendorInput
from relay_dagster.client.artifacts import ErrorReport
from relay_dagster.client.runs import RunReport, show_causes
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import between
from relay_dagster.devstack.processes import API, WEBSERVER, Stack
from relay_dagster.runs.model import RunRecord
from relay_dagster.wire.runs import Run, RunDetails

_KEYS = ArtifactKeys("", "")
_LENIENT = {"max_invalid_rows": 1_000, "max_invalid_row_pct": 1.0}
HEAD_ROWS = 8


@dataclass(frozen=True, slots=True)
class OptionEffect:
    """An option as it is written, and what is otherwise without it; nothing where all is alike."""

    path: str
    value: Any
    effect: str


def option_effects(tenant: str, requested_at: datetime) -> Iterator[OptionEffect]:
    """Yield each option for suppliers' files that a sample tenant uses, with its effect."""
    written: dict[str, Any] = parse_document(sample_config_text(tenant), format="yaml")
    for index, vendor in enumerate(written["vendors"]):
        alone = {**written, "vendors": [vendor], "error_policy": _LENIENT}
        own = _Feed.of(alone, tenant, requested_at)
        for path in _options(alone):
            document = deepcopy(alone)
            *parents, last = path
            place: Any = document
            for step in parents:
                place = place[step]
            value = place.pop(last)
            if isinstance(value, Mapping) and parents[-1] == "column_map":
                # Not without the column, but with the first header alone.
                headers = next(
                    each for each in value.values() if isinstance(each, str | list)
                )
                place[last] = headers if isinstance(headers, str) else headers[0]
            if path[0] != "vendors" and index:
                continue  # shown of the first vendor
            shown = ("vendors", index, *path[2:]) if path[0] == "vendors" else path
            effect = own.beside(_Feed.of(document, tenant, requested_at))
            yield OptionEffect(".".join(map(str, shown)), value, effect)


def _options(document: Mapping[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """Yield where the options of a config of one vendor stand."""
    (vendor,) = document["vendors"]
    for name in ("currency", "shipping_handling_flat"):
        if name in vendor:
            yield ("vendors", 0, name)
    for name, value in vendor["parser"].items():
        if name not in ("format", "column_map"):
            yield ("vendors", 0, "parser", name)
        for column, source in value.items() if name == "column_map" else ():
            if column in document["extra_columns"] or isinstance(source, Mapping):
                yield ("vendors", 0, "parser", name, column)
    yield ("pricing", "ending")


@dataclass
class _Feed:
    """A run's findings and feed; the engine's ``Sink``."""

    findings: RunFindings
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, document: dict[str, Any], tenant: str, requested_at: datetime
    ) -> "_Feed":
        """Return what comes of a config and the sample's feeds."""
        config, feeds = load_config(document), sample_feeds(tenant)
        ids = [vendor.vendor_id for vendor in config.vendors]
        made = cls(RunFindings(vendor_ids=ids, vendor_count=len(ids)))
        RunStages(
            config, config.vendors, requested_at, _KEYS, made, made.findings
        ).go_through(
            {name: VendorInput(len(feeds[name][1])) for name in ids},
            lambda names: (
                VendorFeed(config.vendor(n), feeds[n][1], feeds[n][0], None)
                for n in names
            ),
        )
        return made

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Keep the feed."""
        text = (
            b"".join(map(bytes, chunks))
            if key == _KEYS.merged_inventory("csv")
            else b""
        )
        self.rows |= {
            row["sku"]: row for row in csv.DictReader(text.decode().splitlines())
        }

    def wait(self) -> None:
        """Wait for nothing."""

    def beside(self, without: "_Feed") -> str:
        """Return what this feed has in place of another one's, in words."""
        if without.findings.failure is not None:
            return f"without it the run fails: {without.findings.failure.error_code}"
        counts, others = self.findings.counts(), without.findings.counts()
        if fewer := others["total_rows"] - counts["total_rows"]:
            return (
                f"{fewer} records are no rows"
                if fewer > 0
                else f"{-fewer} more rows are read"
            )
        if fewer := others["invalid_rows"] - counts["invalid_rows"]:
            return (
                f"{fewer} rows are not refused" if fewer > 1 else "1 row is not refused"
            )
        for sku in (*self.rows, *without.rows):
            row, other = self.rows.get(sku), without.rows.get(sku)
            if row is None or other is None:
                return f"{sku} is {'not' if row is None else 'also'} in the feed"
            for column, cell in row.items():
                if cell != other[column]:
                    new, old = cell or "nothing", other[column] or "nothing"
                    return f"{sku}: {column} {new} in place of {old}"
        return ""


def title(console: Console, text: str) -> None:
    """Print a headline."""
    console.print(f"\n[bold]{text}[/]\n")


@contextmanager
def timed(console: Console, what: str) -> Iterator[None]:
    """Print a step and its duration, once it is done."""
    started = time.monotonic()
    yield
    console.print(f"  {time.monotonic() - started:5.1f} s  {what}")


def show_result(
    session: Session, run: RunDetails, artifacts: Mapping[str, Path]
) -> None:
    """Print a run's results: its feed, then, as the client does, what it counted and refused."""
    screen, console = session.screen, session.screen.out
    rows = head_of_feed(artifacts["merged_inventory"])
    title(console, f"The merged feed, the first {HEAD_ROWS}")
    table = Table(*rows[0], box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row.values()))
    Console(width=200, highlight=False).print(table)
    title(console, f"What is known of it: relay show {run.run_id}")
    report = RunReport.fetched(session, run)
    report.show()
    title(console, "What its rules did")
    for rule in json.loads(artifacts["run_summary"].read_text()).get("rules", ()):
        about = f" of {rule['vendor_id']}" if rule["vendor_id"] else ""
        console.print(
            f"  {rule['count']:>7,}  {rule['did']}{about} [dim]{rule['path']}: {rule['rule']}[/]"
        )
    title(console, f"What was refused, and why: relay errors {run.run_id}")
    errors = ErrorReport.model_validate_json(artifacts["errors"].read_text())
    show_causes(screen, run, errors, {})


def show_waits(console: Console, record: RunRecord) -> None:
    """Print how long a run has waited, and for what, from its POST to its end."""
    took = between(record.requested_at, record.finished_at)
    title(console, f"From the POST to {record.status}: {took}")
    for what, since, until in (
        (
            "SQS and the sensor, to the dispatch",
            record.requested_at,
            record.dispatched_at,
        ),
        (
            "Dagster, to a process with the code loaded",
            record.dispatched_at,
            record.started_at,
        ),
        ("the run itself", record.started_at, record.finished_at),
    ):
        console.print(f"  {between(since, until):>9}  {what}")


def suppliers_options(console: Console, effects: Iterable[OptionEffect]) -> None:
    """Print the effect of each option for suppliers' files."""
    title(console, "What each option for suppliers' files does: tenant tool_yard")
    table = Table("option", "", "what it does", box=None, pad_edge=False)
    for each in effects:
        table.add_row(
            each.path, json.dumps(each.value, ensure_ascii=False), each.effect
        )
    console.print(table)


def in_the_shop(console: Console, shop_run_id: str, run: Run) -> None:
    """Print the run of the shop's feed."""
    title(
        console,
        f"The run is {run.status}; GET /v1/tenants/{run.tenant_id}/publications",
    )
    which = (
        "this run's feed"
        if shop_run_id == run.run_id
        else "the good feed of the first run"
    )
    console.print(f"  the shop has {which}, run {shop_run_id}")


def show_places(console: Console, artifacts: Mapping[str, Path]) -> None:
    """Print the paths of the artifacts, once everything has ended."""
    title(console, "Where to look")
    for name, path in artifacts.items():
        console.print(f"  {name:<26} {path}")
    console.print(
        "\n  Everything that was started has been ended. [bold]make dev[/] leaves it running, "
        "with Dagster's UI."
    )


def left_running(console: Console, stack: Stack, api_key: str, tenant: str) -> None:
    """Print the addresses and the key of a stack that stays."""
    api = stack.url(API)
    title(console, "It runs. Ctrl-C ends it, and what is in it is gone then.")
    console.print(f"  Dagster's UI   {stack.url(WEBSERVER)}")
    console.print(f"  API            {api}/v1")
    console.print(f"  Logs           {stack.logs}")
    title(console, "Start a run")
    console.print(
        f"  curl -s -X POST {api}/v1/runs -H 'X-API-Key: {api_key}' \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f'    -d \'{{"tenant_id": "{tenant}", "run_type": "inventory_sync"}}\'',
        markup=False,
    )
    title(console, "Variables for a shell of your own")
    own = {"RELAY_API_URL": api, "RELAY_API_KEY": api_key}
    for name, value in sorted({**stack.environment, **own}.items()):
        console.print(f"  export {name}={value}", markup=False)


def head_of_feed(path: Path) -> list[dict[str, Any]]:
    """Return the first rows of a feed, in whatever format it is."""
    if path.suffix == ".parquet":
        return list(pq.ParquetFile(path).read().slice(0, HEAD_ROWS).to_pylist())
    with path.open(newline="", encoding="utf-8") as file:
        rows: Iterator[dict[str, Any]] = (
            map(json.loads, file)
            if path.suffix == ".jsonl"
            else csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        )
        return list(islice(rows, HEAD_ROWS))
