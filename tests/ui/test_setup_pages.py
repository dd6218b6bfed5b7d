"""The day of a new user on the real stack: from three suppliers' files to a feed that a shop reads.

From a tenant without vendors: sign in, add vendors with an XML file, a workbook and a list with
semicolons, apply the proposed settings, set prices, a review of prices, a schedule, and a channel,
run, and create the links that a shop fetches; all without leaving the pages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
from playwright.sync_api import Locator, expect

from integration.installation import SHORT_TIMES, Installation
from relay_core.samples.starter import starter_config
from relay_dagster.devstack.processes import API, Stack
from support.workbooks import text_row, workbook
from ui.chromium import find_chromium, open_browser
from ui.hands import Judge, Keys, Mouse
from ui.views import assert_finished, sign_in

pytestmark = pytest.mark.integration

SECONDS = 300
PAGES = (
    "",
    *(
        f"/settings{name}"
        for name in (
            "",
            "/new-vendor",
            "/vendors/acme",
            "/vendors/acme/columns",
            "/vendors/acme/parts/new",
            "/prices",
            "/prices/rules/1",
            "/stock",
            "/safety",
            "/schedule",
            "/feed",
            "/channels",
            "/channels/list/market",
            "/catalog",
            "/deliveries",
            "/links",
            "/suppliers",
            "/people",
            "/secrets",
            "/history",
            "/history/2",
            "/text",
        )
    ),
)
"""The pages of a tenant that has something on each of them."""
XML = """<catalog>
{}
</catalog>""".format(
    "\n".join(
        f"<product><sku>X-{n}</sku><stock>{n}</stock><cost>{n}.50</cost></product>"
        for n in range(1, 13)
    )
)
LIST = "".join(f"S-{n};{n};{n},50\r\n" for n in range(1, 13))
SHEET = text_row(1, "SKU", "Quantity", "Cost") + "".join(
    text_row(n + 1, f"B-{n}", str(n), f"{n}.25") for n in range(1, 13)
)
FILES = {
    "alpine_xml": ("alpine.xml", XML.encode()),
    "bolt_xlsx": ("bolt.xlsx", workbook(SHEET)),
    "cask_csv": ("cask.csv", f"Artikel;Bestand;EK\r\n{LIST}".encode("cp1252")),
}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    find_chromium()
    home = tmp_path_factory.mktemp("setup")
    stack = Stack(home, environment=dict(SHORT_TIMES))
    stack.environment["RELAY_PUBLIC_URL"] = stack.url(API)
    with mock.patch.dict(os.environ), Installation(home, stack) as relay:
        yield relay


def new_tenant(relay: Installation, tenant: str) -> str:
    """Store the config of a tenant as it begins, and return a key with every scope."""
    document = {**starter_config(tenant, "Europe/Berlin", "EUR")}
    stored = relay.http.put(f"/v1/tenants/{tenant}/config", json=document)
    assert stored.status_code == 201, stored.text
    scopes = ["read", "run", "config", "release", "upload", "keys"]
    response = relay.http.post(
        f"/v1/tenants/{tenant}/api-keys", json={"scopes": scopes}
    )
    return str(response.json()["api_key"])


class NewUser:
    """Somebody who sets a tenant up, and what they press and read."""

    def __init__(self, hand: Mouse, folder: Path) -> None:
        self.hand = hand
        self.page = hand.page
        self.folder = folder

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def label(self, name: str) -> Locator:
        return self.page.get_by_label(name, exact=True)

    def press(self, name: str) -> None:
        """Press a button."""
        self.hand.press(self.button(name))

    def follow(self, name: str) -> None:
        """Follow a link."""
        link = self.page.get_by_role("link", name=name, exact=True)
        self.hand.press(link.last)

    def shows(self, text: str) -> None:
        """Wait for a text, and look at the page."""
        body = self.page.locator("body")
        expect(body).to_contain_text(text, timeout=60_000)
        self.hand.look()

    def enter(self, field: Locator, text: str) -> None:
        """Put a text in place of a field's."""
        self.hand.clear(field)
        self.hand.enter(field, text)

    def field(self, name: str, text: str) -> None:
        """Enter a text in the field of an option."""
        self.enter(self.page.locator(f'[id="{name}"]'), text)

    def save(self) -> None:
        """Review the changes of a form, and save them."""
        self.press("Review changes")
        self.shows("Review your changes")
        self.press("Save changes")
        self.page.wait_for_url("**saved=*")

    def settings(self, name: str) -> None:
        """Open a page of the settings."""
        self.follow("Settings")
        self.shows("Each change is shown to you")
        self.follow(name)

    def sign_in(self, api: str, key: str) -> None:
        self.page.goto(f"{api}/app")
        self.hand.enter(self.page.get_by_label("API key"), key)
        self.press("Sign in")
        self.shows("New vendor")

    def add_vendor(self, name: str) -> None:
        """Add a vendor with its file, and apply the proposed settings."""
        self.hand.enter(self.label("Name"), name)
        self.save()
        file_name, data = FILES[name]
        path = self.folder / file_name
        path.write_bytes(data)
        with self.page.expect_file_chooser() as chooser:
            self.hand.press(self.page.get_by_label("Vendor's file"))
        chooser.value.set_files(path)
        self.press("Upload file")
        self.page.wait_for_url("**/check")
        self.shows("Proposed settings")
        self.press("Apply these settings")
        self.shows("The settings were applied")
        self.shows("All 12 rows are valid.")

    def set_options(self) -> None:
        """Set prices, a review of prices, a schedule, and a channel."""
        self.settings("Prices")
        self.field("pricing.base_margin_pct", "25")
        self.field("pricing.min_price", "2.00")
        self.save()
        self.settings("Safety")
        self.hand.press(self.label("Review single prices"))
        self.save()
        self.settings("When")
        self.hand.press(self.label("Start runs at fixed times"))
        self.hand.enter(self.label("Times"), "0 6 * * MON-FRI")
        self.save()
        self.shows("6:00 AM (Europe/Berlin)")
        self.settings("Channels")
        self.follow("Add channel")
        self.shows("New channel")
        channel = "channels.0"
        self.field(f"{channel}.channel_id", "market")
        for index, column in enumerate(("sku", "price", "quantity_available")):
            self.field(f"{channel}.output.columns.{index}.column", column)
        self.field(f"{channel}.price.pct", "10")
        self.save()

    def run(self, *, scripts: bool) -> None:
        """Start the first run, and wait for its end."""
        page = self.page
        self.follow("Overview")
        self.shows("Until your shop reads the feed")
        self.press("Start run")
        page.wait_for_url("**/runs/*")
        for _ in range(0 if scripts else SECONDS):
            if not page.locator("#progress").count():
                break
            page.wait_for_timeout(1000)
            with page.expect_navigation():
                self.follow("Refresh")
        page.wait_for_selector(
            "#progress", state="detached", timeout=SECONDS * 1000
        )
        self.shows("The new feed has 36 SKUs")

    def link(self, name: str, channel_id: str = "") -> str:
        """Create a link, and return what a shop reads by it."""
        self.settings("Feed links")
        self.hand.enter(self.label("Name"), name)
        if channel_id:
            self.page.get_by_label("File").select_option(channel_id)
        self.press("Create link")
        self.shows("It is shown this once.")
        url = self.page.get_by_label("The address of the new link.")
        return httpx.get(url.input_value(), trust_env=False).text


def set_up(
    hand: Mouse, api: str, key: str, folder: Path, *, scripts: bool = True
) -> None:
    """Go through the day."""
    user = NewUser(hand, folder)
    user.sign_in(api, key)
    for name in FILES:
        user.add_vendor(name)
        user.settings("Add vendor")
    user.set_options()
    user.run(scripts=scripts)
    feed = user.link("My shop")
    # A cost of 1.25 with 25% is below the minimum price.
    assert re.search(r"^B-1,1,2\.00,bolt_xlsx", feed, re.MULTILINE), feed
    assert re.search(r"^S-12,12,15\.63,cask_csv", feed, re.MULTILINE), feed
    assert "S-12,17.19,12" in user.link("My market", "market")
    user.follow("Overview")
    user.shows("36 SKUs are in your feed")
    body = user.page.locator("body")
    expect(body).not_to_contain_text("Until your shop reads")


def test_a_new_user_s_day_without_a_fault_that_axe_finds(
    relay: Installation, tmp_path: Path
) -> None:
    key = new_tenant(relay, "setup_by_mouse")
    with open_browser() as browser:
        api = relay.stack.url(API)
        set_up(Judge(browser.page), api, key, tmp_path, scripts=False)
        assert browser.refused == []


def test_the_same_day_by_keyboard_alone_on_a_phone(
    relay: Installation, tmp_path: Path
) -> None:
    key = new_tenant(relay, "setup_by_keys")
    with open_browser(viewport={"width": 390, "height": 800}) as browser:
        set_up(Keys(browser.page), relay.stack.url(API), key, tmp_path)


def test_the_same_day_without_scripts(
    relay: Installation, tmp_path: Path
) -> None:
    key = new_tenant(relay, "setup_without_scripts")
    with open_browser(java_script_enabled=False) as browser:
        api = relay.stack.url(API)
        set_up(Mouse(browser.page), api, key, tmp_path, scripts=False)


def config_of_all_pages(tenant: str) -> dict[str, Any]:
    """Return a config that fills each page of the settings."""
    document: dict[str, Any] = {
        **starter_config(tenant, "Europe/Berlin", "EUR"),
        "vendors": [
            {
                "vendor_id": "acme",
                "inbound": {
                    "type": "s3",
                    "s3_prefix": f"tenants/{tenant}/inbound/acme/",
                },
                "parser": {"format": "csv"},
            }
        ],
        "guards": {"quarantine": {}},
        "triggers": {"schedule": {"cron": "0 6 * * *"}, "on_upload": {}},
        "channels": [{"channel_id": "market", "output": {"columns": ["sku"]}}],
    }
    document["pricing"]["rules"] = [
        {"when": {"brands": ["Acme"]}, "margin_pct": "0.3"},
        {"when": {"vendors": ["acme"]}, "leave_out": True},
    ]
    return document


def furnish(relay: Installation, tenant: str) -> None:
    """Give a tenant a config, an upload, a link, and a webhook."""
    stored = relay.http.put(
        f"/v1/tenants/{tenant}/config", json=config_of_all_pages(tenant)
    )
    assert stored.status_code == 200, stored.text
    upload = relay.http.post(
        f"/v1/tenants/{tenant}/uploads",
        json={"vendor_id": "acme", "file_name": "a.csv"},
    ).json()
    data = b"sku,quantity_available,cost\nA-1,5,4.20\n"
    httpx.post(
        upload["url"],
        data=upload["fields"],
        files={"file": data},
        trust_env=False,
    ).raise_for_status()
    for path, order in (
        ("feed-links", {"name": "shop"}),
        (
            "webhooks",
            {"url": "https://example.com/hook", "events": ["run.failed"]},
        ),
    ):
        relay.http.post(
            f"/v1/tenants/{tenant}/{path}", json=order
        ).raise_for_status()


def test_no_page_of_the_settings_has_a_fault_that_axe_finds(
    relay: Installation,
) -> None:
    tenant = "setup_pages"
    key = new_tenant(relay, tenant)
    furnish(relay, tenant)
    with open_browser() as browser:
        page = browser.page
        page.goto(f"{relay.stack.url(API)}/app")
        sign_in(page, key)
        page.wait_for_url(f"**/app/tenants/{tenant}")
        for name in PAGES:
            answer = page.goto(f"{page.url.partition('/settings')[0]}{name}")
            assert answer is not None
            assert answer.status == 200, name
            assert_finished(page)
