"""Goes through the live API with its own OpenAPI document: `make fuzz-api`, EXAMPLES, SEED, KEYS.

    python tests/fuzzing/campaign.py [--examples N] [--seed N] [--keys admin tenant]

Schemathesis makes the requests, once with an admin's key and once with one of a tenant, and holds
every answer against the document. Exit status 1 where one of them is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

import httpx

from relay_dagster.aws.dynamodb.api_key_store import Scope
from relay_dagster.wire import base
from support.api_world import ADMIN, ApiWorld
from support.live_api import LiveApi, live_api
from support.webhooks_world import event, stored_webhook, tried

CONFIG = Path(__file__).with_name("schemathesis.toml")
CONFIG_EXAMPLE = base.examples()["TenantConfig"]
WEBHOOK, SPARE_WEBHOOK = (f"wh_{number:032}" for number in (1, 2))
"""As the configuration has them."""
_COUNTS = {
    "operations": re.compile(r"Tested: (\d+)"),
    "cases": re.compile(r"(\d+) generated"),
    "failures": re.compile(r"(\d+) unique failure"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Schemathesis printed, and its exit status: 0 where every answer was right."""

    status: int
    output: str

    def count(self, name: str) -> int:
        """Return how many operations, cases or failures its summary tells of; 0 for no word."""
        match = _COUNTS[name].search(self.output)
        return int(match.group(1)) if match else 0


KEYS = ("admin", "tenant")
_ACCESS = r"/v1/tenants/\{tenant_id\}/(webhooks|api-keys|feed-links|secrets|overrides)"
PARTS = (f"^(?!{_ACCESS})", f"^{_ACCESS}")
"""Patterns of the paths, each for an API of its own: it answers few wrong keys of an address."""
DOOMED = "doomed"
"""The tenant that is deleted and restored; the campaign's own stays."""
UNHURRIED = {
    "RELAY_RATE_LIMIT_PER_MINUTE": "1000000",
    "RELAY_MAX_RUNS_PER_HOUR": "1000000",
    "RELAY_MAX_CONFIG_VERSIONS_PER_DAY": "1000000",
}
"""Limits that an honest caller never meets, and a campaign would."""


def furnish(api: LiveApi) -> dict[str, str]:
    """Give the tenant of the document's examples a config, webhooks, a run that succeeded, a feed.

    Something was sent to one of the webhooks; the other is there to be deleted. So is another
    tenant.

    Returns:
        A key of each kind: an admin's, and one of the tenant with all scopes.
    """
    tenant_id = CONFIG_EXAMPLE["tenant_id"]
    api.platform.tenants.put(tenant_id, json.dumps(CONFIG_EXAMPLE))
    api.platform.tenants.put(DOOMED, json.dumps(CONFIG_EXAMPLE))
    order = {"tenant_id": tenant_id, "run_type": "inventory_sync"}
    with httpx.Client(
        base_url=api.url, headers={"X-API-Key": ADMIN}, trust_env=False
    ) as client:
        run_id = client.post("/v1/runs", json=order).json()["run_id"]
        key_request = {"name": "campaign", "scopes": [*Scope]}
        created = client.post(
            f"/v1/tenants/{tenant_id}/api-keys", json=key_request
        ).json()
    ApiWorld(api.platform).succeed(run_id)
    for webhook_id in (WEBHOOK, SPARE_WEBHOOK):
        stored_webhook(api.platform, tenant_id=tenant_id, webhook_id=webhook_id)
    sent = replace(
        event(tenant_id=tenant_id),
        deliveries={WEBHOOK: tried(WEBHOOK, *[503] * 7, 200)},
    )
    api.platform.webhooks.add_event(sent)
    return {"admin": ADMIN, "tenant": created["api_key"]}


def fuzz(
    api: LiveApi,
    folder: Path,
    key: str,
    *,
    examples: int,
    seed: int,
    only: str = "",
) -> Verdict:
    """Let Schemathesis loose on an API with a key; what it leaves behind lies in the folder.

    Args:
        api: the API.
        folder: where it works.
        key: the caller's.
        examples: cases of an operation, at most.
        seed: of chance.
        only: a pattern of the paths that it goes through, by default all.
    """
    command = [
        *(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(CONFIG),
            "--no-color",
        ),
        *("run", f"{api.url}/openapi.json", "--checks", "all", "--mode", "all"),
        *(
            "--max-examples",
            str(examples),
            "--seed",
            str(seed),
            "--request-timeout",
            "30",
        ),
        *("--header", f"X-API-Key: {key}"),
        *(("--include-path-regex", only) if only else ()),
    ]
    process = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "NO_PROXY": "*", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Verdict(process.returncode, process.stdout)


def main() -> int:
    """Go through an API of its own with each key; print what Schemathesis says of each."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument(
        "--examples",
        type=int,
        default=100,
        help="cases of an operation, at most",
    )
    options.add_argument(
        "--seed", type=int, default=1, help="the same seed makes the same cases"
    )
    options.add_argument(
        "--keys", nargs="+", choices=KEYS, default=KEYS, help="whose, in turn"
    )
    chosen = options.parse_args()
    return max(
        _go_through(key, chosen.examples, chosen.seed, part)
        for key in chosen.keys
        for part in PARTS
    )


def _go_through(key: str, examples: int, seed: int, part: str) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="relay-fuzz-") as folder,
        live_api(Path(folder), **UNHURRIED) as api,
    ):
        keys = furnish(api)
        verdict = fuzz(
            api,
            Path(folder),
            keys[key],
            examples=examples,
            seed=seed,
            only=part,
        )
    print(verdict.output)
    counts = ", ".join(f"{verdict.count(name)} {name}" for name in _COUNTS)
    print(f"key of {key}: {counts}; seed {seed}", flush=True)
    return verdict.status


if __name__ == "__main__":
    sys.exit(main())
