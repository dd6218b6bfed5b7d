"""What a page of a merchant costs: the API's processor time and the bytes, `make bench-pages`.

A real process of the API on embedded AWS serves each page of the sample tenant, with its files
uploaded, many times. Exit status 1 where a page is over 300 ms or 100 KB.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks import tables
from benchmarks.api_bench import KEY, api_platform
from benchmarks.goals import Goal
from relay_core.config import load_config, parse_document
from relay_core.samples import sample_config_text, sample_feeds
from relay_dagster.devstack.processes import API
from relay_dagster.http.security.sessions import sign_in_token

TENANT = "acme_parts"
VENDOR = "granite_supply"
SETTINGS = f"/app/tenants/{TENANT}/settings"
PAGES = (
    f"/app/tenants/{TENANT}",
    f"/app/tenants/{TENANT}/vendors/{VENDOR}",
    SETTINGS,
    *(
        f"{SETTINGS}/{name}"
        for name in (
            "new-vendor",
            f"vendors/{VENDOR}",
            "prices",
            "prices/rules/new",
            "stock",
            "safety",
            "schedule",
            "feed",
            "channels",
            "catalog",
            "deliveries",
            "links",
            "suppliers",
            "people",
            "secrets",
            "history",
            "text",
        )
    ),
)
MAX_SECONDS = 0.3
MAX_KB = 100.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the user and system time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def signed_in(url: str) -> httpx.Client:
    """Return a browser that is signed in as the sample tenant."""
    admin = httpx.Client(base_url=url, headers={"X-API-Key": KEY}, timeout=60)
    text = sample_config_text(TENANT)
    document = load_config(parse_document(text, format="yaml")).to_document()
    admin.put(f"/v1/tenants/{TENANT}/config", json=document).raise_for_status()
    scopes = ["read", "run", "config", "release", "upload", "keys"]
    key = admin.post(f"/v1/tenants/{TENANT}/api-keys", json={"scopes": scopes})
    browser = httpx.Client(base_url=url, timeout=60)
    browser.get("/app/sign-in")
    (cookie,) = browser.cookies.values()
    form = {"key": key.json()["api_key"], "token": sign_in_token(cookie)}
    browser.post("/app/sign-in", data=form)
    return browser


def measured(rounds: int) -> Iterator[tuple[str, float, float]]:
    """Yield each page with its seconds of processor time, and its thousands of bytes."""
    with api_platform() as (stack, platform, _):
        config = load_config(
            parse_document(sample_config_text(TENANT), format="yaml")
        )
        for vendor_id, (name, data) in sample_feeds(TENANT).items():
            prefix = config.vendor(vendor_id).inbound.s3_prefix
            platform.objects.put(f"{prefix}{name}", data)
        browser = signed_in(stack.url(API))
        pid = stack.services[API].process.pid
        for path in PAGES:
            size = len(browser.get(path).raise_for_status().content)
            before = cpu_seconds(pid)
            for _ in range(rounds):
                browser.get(path).raise_for_status()
            yield path, (cpu_seconds(pid) - before) / rounds, size / 1000


def main() -> int:
    """Measure once and print the table; exit status 1 where a page is over a limit."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument("--rounds", type=int, default=20)
    pages = list(measured(options.parse_args().rounds))
    rows = [
        (path, f"{seconds * 1000:.0f} ms", f"{size:.1f} kB")
        for path, seconds, size in pages
    ]
    print(tables.table(("page", "processor time", "size"), rows))
    goals = [
        Goal(
            "the slowest page", MAX_SECONDS, max(page[1] for page in pages), "s"
        ),
        Goal("the largest page", MAX_KB, max(page[2] for page in pages), "kB"),
    ]
    for goal in goals:
        verdict = "holds" if goal.met else "missed"
        print(
            f"{goal.what}: {goal.measured:.3f} {goal.unit} of {goal.limit} "
            f"{goal.unit}, {verdict}"
        )
    return 0 if all(goal.met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
