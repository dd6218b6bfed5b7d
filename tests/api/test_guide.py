"""What docs/API.md shows: every command of it run by a shell, in order, against a live API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay_core.config import load_config
from relay_core.domain.codes import Stage
from relay_core.domain.records import VendorResult
from relay_core.merge.row_counts import RowCounts
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.dynamodb.api_key_store import BrowserSession
from relay_dagster.http.error_codes import CODES
from relay_dagster.runs.model import NewRun
from relay_dagster.tenants.audit import Action
from support.api_world import ADMIN, ApiWorld
from support.builders import feed
from support.config_documents import DELIVERY
from support.explaining import run_in_memory
from support.fakes import held_outcome, published_outcome
from support.live_api import LiveApi, live_api
from support.webhooks_world import event, tried

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "API.md").read_text("utf-8")
BLOCKS = re.findall(
    r"^```sh\n(.*?)^```\n```json (\d+)\n(.*?)^```$", GUIDE, re.M | re.S
)
UPLOAD = b"Part Number;On Hand;Net\nA-1;5;1.234,50\nA-2;0;12,90\nB-7;12;8,00\n"


def upload(api: LiveApi, folder: Path) -> None:
    key = "tenants/acme_parts/inbound/granite_supply/stock.csv"
    api.platform.objects.put(key, UPLOAD)


def end_well(api: LiveApi, folder: Path) -> None:
    """Let the run of the guide succeed, as it does where Dagster runs."""
    run_id = json.loads((folder / "run.json").read_text())["run_id"]
    result = VendorResult(
        "granite_supply", "found", datetime.now(UTC), 0, 3, 1, 2
    )
    record = ApiWorld(api.platform).claim(run_id)
    outcome = published_outcome(api.platform, record)
    artifacts = {**outcome.artifacts, "run_summary": record.keys.run_summary}
    outcome = replace(outcome, vendor_results=(result,), artifacts=artifacts)
    api.platform.ledger.succeed(record.fence, outcome)
    counts = RowCounts(
        read=3,
        skipped=0,
        refused=1,
        duplicates=0,
        left_out=0,
        same_sku=0,
        outbid=0,
        unpriced=0,
        won=2,
    )
    rows = {"granite_supply": counts.as_dict()}
    summary = json.dumps({"rows": rows}).encode()
    api.platform.objects.put(record.keys.run_summary, summary)
    api.platform.objects.put(record.keys.report, b"<!doctype html>")


def leave_files(api: LiveApi, folder: Path) -> None:
    """Leave what the run of the guide leaves, where Dagster runs."""
    run_id = json.loads((folder / "run.json").read_text())["run_id"]
    config = load_config(json.loads((folder / "config.json").read_text()))
    rows = feed("A-1,5,12.50", header="Part No,On Hand,Net")
    keys = ArtifactKeys(run_id, "acme_parts")
    for key, data in run_in_memory(
        config, {"granite_supply": rows}, keys=keys
    ).files.items():
        api.platform.objects.put(key, data)


def hold_one(api: LiveApi, folder: Path) -> None:
    """Let another run of the tenant end with its feed held back."""
    world = ApiWorld(api.platform)
    new_run = NewRun(run_id=str(uuid.uuid4()), tenant_id="acme_parts")
    record = world.claim(api.platform.ledger.reserve(new_run).record.run_id)
    baseline = json.loads((folder / "run.json").read_text())["run_id"]
    for stage in list(Stage)[2:5]:
        record = api.platform.ledger.enter_stage(record.fence, stage)
    record = api.platform.ledger.pin(record.fence, 2, baseline)
    api.platform.ledger.feeds.hold(
        record.fence, held_outcome(api.platform, record)
    )


def deliver(api: LiveApi, folder: Path) -> None:
    """Let a try to deliver to the webhook of the guide fail, as where a sender runs."""
    webhook_id = json.loads((folder / "webhook.json").read_text())["webhook_id"]
    waits = tried(webhook_id, 503, goes_on=True)
    failed_event = replace(
        event(tenant_id="acme_parts"), deliveries={webhook_id: waits}
    )
    api.platform.webhooks.add_event(failed_event)


def have_a_pull(api: LiveApi, folder: Path) -> None:
    """Let the vendor of the guide have its file pulled."""
    document = json.loads((folder / "config.json").read_text())
    document["vendors"][0]["inbound"]["pull"] = {
        "url": "https://files.example.com/stock.csv"
    }
    place = f"{api.url}/v1/tenants/acme_parts/config"
    headers = {"X-API-Key": ADMIN}
    assert (
        httpx.put(
            place, json=document, headers=headers, trust_env=False
        ).status_code
        == 200
    )


def have_a_delivery(api: LiveApi, folder: Path) -> None:
    """Let the feed of the guide be delivered."""
    document = json.loads((folder / "config.json").read_text())
    document["deliveries"] = [{**DELIVERY, "delivery_id": "bazaar"}]
    place = f"{api.url}/v1/tenants/acme_parts/config"
    headers = {"X-API-Key": ADMIN}
    answer = httpx.put(place, json=document, headers=headers, trust_env=False)
    assert answer.status_code == 200


def keep_back(api: LiveApi, folder: Path) -> None:
    """Leave the file of the SKUs whose published price the run that was held has kept."""
    run_id = json.loads((folder / "held.json").read_text())["runs"][0]["run_id"]
    table = (
        b"sku,action,price_published,price_computed\nA-1,keep,131.99,13.19\n"
    )
    api.platform.objects.put(
        ArtifactKeys(run_id, "acme_parts").quarantine, table
    )


def sign_in(api: LiveApi, folder: Path) -> None:
    """Let a browser be signed in with a key of the tenant."""
    now = datetime.now(UTC)
    session = BrowserSession(
        digest="8" * 64,
        tenant_id="acme_parts",
        key_id="8c1d6f0a2b3e4c5d",
        created_at=now,
        ends_at=now + timedelta(hours=12),
        last_used_at=now,
    )
    api.platform.sessions.add(session)


# What happens elsewhere before a command is run.
BEFORE: dict[str, Callable[[LiveApi, Path], None]] = {
    "config:check": upload,
    'curl -sS "$RELAY/v1/runs/$RUN_ID"': end_well,
    "/explain": leave_files,
    "status=HELD": hold_one,
    "/accept": keep_back,
    "$WEBHOOK_ID/deliveries": deliver,
    "acme_parts/deliveries": have_a_delivery,
    "/pull": have_a_pull,
    "tee sessions.json": sign_in,
}


def shape(value: Any) -> Any:
    """Return a JSON value with its kinds in place of its scalars; of a list its first item."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def without_ids(text: str) -> str:
    """Return a sentence with ``<id>`` in place of each run_id."""
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)


def documented_shape(expected: Any, answer: Any) -> Any:
    """Return an answer's shape as far as the guide shows it; ``{}`` and ``...`` leave it open."""
    if expected == {} or expected == "...":
        return shape(expected)
    if isinstance(expected, dict) and isinstance(answer, dict):
        return {
            key: documented_shape(expected[key], member)
            if key in expected
            else shape(member)
            for key, member in answer.items()
        }
    if isinstance(expected, list) and isinstance(answer, list):
        return (
            [documented_shape(expected[0], item) for item in answer[:1]]
            if expected
            else []
        )
    return shape(answer)


@pytest.mark.smoke
@pytest.mark.integration
def test_every_command_of_the_guide_answers_as_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "shell"
    folder.mkdir()
    (folder / ".curlrc").write_text(
        'write-out = "%{stderr}%{http_code}"\nnoproxy = "*"\n'
    )
    state = folder / "state"
    state.touch()
    variables = {
        "DAGSTER_WEBSERVER_URL": "http://dagster.test",
        "RELAY_PUBLIC_URL": "https://r.test",
    }
    with live_api(tmp_path, **variables) as api:
        environment = {
            **os.environ,
            "CURL_HOME": str(folder),
            "RELAY": api.url,
            "KEY": ADMIN,
        }
        for script, status, expected in BLOCKS:
            for part, act in BEFORE.items():
                if part in script:
                    act(api, folder)
            # One shell after another, each with the variables of those before.
            declare = "declare -p RUN_ID KEY_ID SESSION_ID EARLIER SHA256 WEBHOOK_ID LINK_ID"
            whole = f". {state}\n{script}\n{declare} > {state} 2>/dev/null || true\n"
            process = subprocess.run(
                ["bash", "-c", whole],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            assert process.stderr == status, (script, process.stdout)
            if expected.strip():
                expectation = json.loads(expected)
                answer = json.loads(process.stdout)
                assert documented_shape(expectation, answer) == shape(
                    expectation
                ), script
                if "detail" in expectation:
                    assert without_ids(answer["detail"]) == without_ids(
                        expectation["detail"]
                    )


def call_of(script: str) -> tuple[str, str]:
    """Return the method and the path, as the API's document names it, of a script's command."""
    method = re.search(r"-X (\w+)", script)
    path = re.search(r"\$RELAY([^\"?]+)", script)
    assert path is not None
    template = path.group(1)
    template = template.replace("acme_parts", "{tenant_id}")
    template = template.replace("secrets/granite", "secrets/{name}")
    template = template.replace("vendors/granite_supply", "vendors/{vendor_id}")
    template = template.replace("deliveries/bazaar", "deliveries/{delivery_id}")
    for name in ("run_id", "key_id", "session_id", "webhook_id", "link_id"):
        template = template.replace(f"${name.upper()}", f"{{{name}}}")
    default = "POST" if " -d " in script else "GET"
    return (method.group(1) if method else default, template)


def test_every_call_of_the_api_is_in_the_guide(
    document: dict[str, Any],
) -> None:
    calls = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert {
        call_of(script) for script, _, _ in BLOCKS if "$RELAY" in script
    } == calls
    assert len(BLOCKS) == GUIDE.count("```sh")


def test_the_guide_lists_every_error_code_with_its_status_and_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", GUIDE, re.M)
    assert rows == [
        (code, str(table_code.status), table_code.meaning)
        for code, table_code in CODES.items()
    ]


def test_the_guide_lists_every_act_of_the_audit() -> None:
    assert [act for act in Action if f"`{act}`" not in GUIDE] == []
