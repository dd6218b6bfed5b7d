"""The demo's output: the API's answers, files, waits, and the effect of each option."""

import csv
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from relay_core.domain.formats import FORMATS
from relay_core.domain.input_names import name_of
from relay_core.merge.row_counts import RowCounts
from relay_dagster.client.artifacts import ErrorReport
from relay_dagster.client.commands.run_errors import show_causes
from relay_dagster.client.run_report import RunReport
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import between
from relay_dagster.devstack.option_effects import OptionEffect
from relay_dagster.devstack.processes import API, WEBSERVER, Stack
from relay_dagster.runs.model import RunRecord
from relay_dagster.wire.runs import Run, RunDetails

HEAD_ROWS = 8


def title(console: Console, text: str) -> None:
    """Print a headline."""
    console.print(f"\n[bold]{text}[/]\n")


@contextmanager
def timed(console: Console, step: str) -> Iterator[None]:
    """Print a step with its duration once it is done."""
    started_at = time.monotonic()
    yield
    seconds = time.monotonic() - started_at
    console.print(f"  {seconds:5.1f} s  {step}")


def show_result(
    session: Session,
    run: RunDetails,
    artifacts: Mapping[str, Path],
) -> None:
    """Print a run's feed, then its counts and rejected rows as the client prints them."""
    console = session.screen.out
    title(console, f"The merged feed, the first {HEAD_ROWS}")
    _show_rows(head_of_feed(artifacts["merged_inventory"]))
    title(console, f"The run's report: relay runs show {run.run_id}")
    RunReport.fetched(session, run).show()
    title(console, "Effects of the config's rules")
    summary = json.loads(artifacts["run_summary"].read_text())
    for rule in summary.get("rules", ()):
        vendor = f" of {rule['vendor_id']}" if rule["vendor_id"] else ""
        effect = f"{rule['count']:>7,}  {rule['did']}{vendor}"
        console.print(f"  {effect} [dim]{rule['path']}: {rule['rule']}[/]")
    title(console, f"Rejected rows by cause: relay runs errors {run.run_id}")
    errors = ErrorReport.model_validate_json(artifacts["errors"].read_text())
    show_causes(session.screen, run, errors, {})


def _show_rows(rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0], box=None, padding=(0, 2, 0, 0))
    for row in rows:
        cells = ["" if cell is None else str(cell) for cell in row.values()]
        table.add_row(*cells)
    Console(width=200, highlight=False).print(table)


def show_waits(console: Console, record: RunRecord) -> None:
    """Print each wait of the run with its reason, from the POST to the end."""
    duration = between(record.requested_at, record.finished_at)
    title(console, f"From the POST to {record.status}: {duration}")
    waits = (
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
    )
    for reason, since, until in waits:
        console.print(f"  {between(since, until):>9}  {reason}")


def suppliers_options(
    console: Console,
    effects: Iterable[OptionEffect],
) -> None:
    """Print the effect of each option for suppliers' files."""
    title(
        console,
        "Effects of the options for suppliers' files: tenant tool_yard",
    )
    table = Table("option", "", "what it does", box=None, pad_edge=False)
    for option in effects:
        value = json.dumps(option.value, ensure_ascii=False)
        table.add_row(option.path, value, option.effect)
    console.print(table)


def rows_of_files(console: Console, rows: Mapping[str, RowCounts]) -> None:
    """Print what became of the rows of a vendor of several files, and of its parts."""
    title(
        console,
        "Rows of a supplier of several files: tenant hammer_house",
    )
    table = Table("input", "rows", box=None, pad_edge=False)
    for vendor_id, row_counts in rows.items():
        counts = row_counts.as_dict()
        parts = counts.pop("parts", {})
        table.add_row(vendor_id, _counted(counts))
        for part_id, part_counts in parts.items():
            table.add_row(name_of(vendor_id, part_id), _counted(part_counts))
    console.print(table)


def _counted(counts: Mapping[str, int]) -> str:
    """Return the numbers of rows by outcome, without zeros."""
    return ", ".join(
        f"{name} {count}" for name, count in counts.items() if count
    )


def in_the_shop(console: Console, shop_run_id: str, run: Run) -> None:
    """Print the run whose feed the shop has, beside the status of the latest run."""
    path = f"/v1/tenants/{run.tenant_id}/publications"
    title(console, f"The run is {run.status}; GET {path}")
    feed = "the good feed of the first run"
    if shop_run_id == run.run_id:
        feed = "this run's feed"
    console.print(f"  the shop has {feed}, run {shop_run_id}")


def show_places(console: Console, artifacts: Mapping[str, Path]) -> None:
    """Print the paths of the artifacts once every process has ended."""
    title(console, "Where to look")
    for name, path in artifacts.items():
        console.print(f"  {name:<26} {path}")
    console.print(
        "\n  The demo has stopped all its processes. Run [bold]make dev[/] to keep "
        "the stack running, with Dagster's UI.",
    )


def page(console: Console, stack: Stack, page_key: str) -> None:
    """Print the address of the page, and the tenant's key to sign in with."""
    console.print(f"  Page           {stack.url(API)}/app", markup=False)
    console.print(f"  Key            {page_key}", markup=False)


def left_running(
    console: Console,
    stack: Stack,
    api_key: str,
    page_key: str,
    tenant: str,
) -> None:
    """Print the addresses and the keys of a stack that stays.

    Args:
        console: The terminal.
        stack: The stack.
        api_key: The admin key.
        page_key: The key of the tenant, for its page.
        tenant: The sample tenant.
    """
    api = stack.url(API)
    title(
        console,
        "The stack is running. Press Ctrl-C to stop it and delete its data.",
    )
    page(console, stack, page_key)
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
    title(console, "Environment variables for another shell")
    client_variables = {"RELAY_API_URL": api, "RELAY_API_KEY": api_key}
    variables = {**stack.environment, **client_variables}
    for name, value in sorted(variables.items()):
        console.print(f"  export {name}={value}", markup=False)


def head_of_feed(path: Path) -> list[dict[str, Any]]:
    """Return the first rows of a feed of any format."""
    feed_format = FORMATS[path.suffix.removeprefix(".")]
    if not feed_format.has_lines:
        feed = pq.ParquetFile(path).read()
        return list(feed.slice(0, HEAD_ROWS).to_pylist())
    with path.open(newline="", encoding="utf-8") as file:
        rows: Iterator[dict[str, Any]]
        if feed_format.delimiter is None:
            rows = map(json.loads, file)
        else:
            rows = csv.DictReader(file, delimiter=feed_format.delimiter)
        return list(islice(rows, HEAD_ROWS))
