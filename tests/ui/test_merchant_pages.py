"""A merchant's first day on the page, on the real stack: by mouse, by keys alone, without scripts.

From an empty tenant: sign in, upload a list, take the proposed parser over, run, read the report,
break the list, see the feed held back, release it with a reason, explain a SKU and override it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from integration.installation import Installation
from relay_dagster.devstack.processes import API
from ui.chromium import find_chromium, open_browser

pytestmark = pytest.mark.integration

VENDOR = "nordlager"
ROWS = [f"N-{number:03};{number};{number},50 €" for number in range(1, 41)]
SECONDS = 120
MAX_TABS = 60
Act = Callable[[Locator], None]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    find_chromium()
    with mock.patch.dict(os.environ), Installation(tmp_path_factory.mktemp("page")) as relay:
        yield relay


def new_tenant(relay: Installation, tenant: str) -> str:
    """Store the config of a tenant with one vendor, as it is before anything was seen of it."""
    prefix = f"tenants/{tenant}/inbound/{VENDOR}/"
    document = {
        "schema_version": 1,
        "tenant_id": tenant,
        "timezone": "Europe/Berlin",
        "default_currency": "EUR",
        "vendors": [
            {
                "vendor_id": VENDOR,
                "inbound": {"type": "s3", "s3_prefix": prefix},
                "parser": {"format": "csv", "column_map": {"sku": "Artikelnummer"}},
            }
        ],
        "pricing": {
            "base_margin_pct": "0.20", "min_price": "1.00", "shipping_handling_flat": "0.00"
        },
        "merge": {"strategy": "best_offer"},
        "output": {"columns": ["sku", "quantity_available", "price"]},
    }  # fmt: skip
    stored = relay.http.put(f"/v1/tenants/{tenant}/config", json=document)
    assert stored.status_code == 201, stored.text
    made = relay.http.post(f"/v1/tenants/{tenant}/api-keys")
    return str(made.json()["api_key"])


def list_of(folder: Path, rows: list[str]) -> Path:
    path = folder / f"list-{len(rows)}.csv"
    lines = ["Artikelnummer;Bestand;Preis", *rows]
    path.write_bytes("\r\n".join(lines).encode("cp1252"))
    return path


def journey(
    page: Page,
    api: str,
    key: str,
    folder: Path,
    press: Act,
    seen: Callable[[], None] = lambda: None,
    scripts: bool = True,
) -> None:
    """Go through the day; ``press`` presses what it is given, ``seen`` is called on each page."""

    def button(name: str) -> Locator:
        return page.get_by_role("button", name=name)

    def link(name: str) -> Locator:
        return page.get_by_role("link", name=name, exact=True)

    def shows(text: str) -> None:
        expect(page.locator("main")).to_contain_text(text, timeout=SECONDS * 1000)
        seen()

    def upload(path: Path) -> None:
        press(link(VENDOR).first)
        page.get_by_label("Your vendor's list").set_input_files(path)
        press(button("Upload"))
        page.wait_for_url("**/check")

    def run() -> None:
        press(link("Overview"))
        press(button("Start a run"))
        page.wait_for_url("**/runs/*")
        for _ in range(0 if scripts else SECONDS):
            if not page.locator("#progress").count():
                break
            page.wait_for_timeout(1000)
            press(link("Look again"))
        page.wait_for_selector("#progress", state="detached", timeout=SECONDS * 1000)

    page.goto(f"{api}/app")
    shows("Sign in")
    page.get_by_label("Your key").focus()
    page.keyboard.type(key)
    press(button("Sign in"))
    shows("Your first feed is a run away")
    upload(list_of(folder, ROWS))
    shows("A run cannot use it")
    press(button("Take it over"))
    shows("Taken over: it is config version 2")
    shows("all 40 rows are good")
    run()
    shows("A new feed with 40 SKUs")
    report = page.get_by_role("link", name="Open the full report")
    address = report.get_attribute("href")
    answer = page.request.get(f"{api}{address}")
    assert "The new feed has 40 SKUs" in answer.text()
    press(link("Overview"))
    shows("40 SKUs are in your feed")
    upload(list_of(folder, ROWS[:4]))
    shows("all 4 rows are good")
    run()
    shows("A new feed with 4 SKUs is held back")
    page.get_by_label("Why is it right?").focus()
    page.keyboard.type("the line is discontinued")
    press(button("Publish this feed"))
    shows("It was released: the line is discontinued")
    press(link("Look up a SKU"))
    page.get_by_label("SKU, as it is in the feed").focus()
    page.keyboard.type("N-002")
    press(button("Explain it"))
    shows(f"{VENDOR} alone offers it.")
    page.get_by_label("Its price", exact=True).focus()
    page.keyboard.type("99.90")
    press(button("Save for the next run"))
    shows("99.90")
    press(button("Sign out"))
    shows("Sign in")


def test_a_merchant_s_day_without_a_fault_that_axe_finds(
    relay: Installation, tmp_path: Path
) -> None:
    key = new_tenant(relay, "by_mouse")
    with open_browser() as browser:

        def judge() -> None:
            found = Axe().run(browser.page)
            assert found.violations_count == 0, found.generate_report()

        api = relay.stack.url(API)
        journey(browser.page, api, key, tmp_path, lambda what: what.click(), judge)
        assert browser.refused == []


def test_the_same_day_by_keyboard_alone(relay: Installation, tmp_path: Path) -> None:
    key = new_tenant(relay, "by_keys")
    with open_browser(viewport={"width": 390, "height": 800}) as browser:
        page = browser.page

        def press(what: Locator) -> None:
            wanted = what.element_handle()
            for _ in range(MAX_TABS):
                page.keyboard.press("Tab")
                if page.evaluate("wanted => document.activeElement === wanted", wanted):
                    page.keyboard.press("Enter")
                    return
            raise AssertionError(f"no key leads to {what}")

        journey(page, relay.stack.url(API), key, tmp_path, press)


def test_the_same_day_without_scripts(relay: Installation, tmp_path: Path) -> None:
    key = new_tenant(relay, "without_scripts")
    with open_browser(java_script_enabled=False) as browser:
        api = relay.stack.url(API)
        journey(browser.page, api, key, tmp_path, lambda what: what.click(), scripts=False)
