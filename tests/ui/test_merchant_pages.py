"""A merchant's first day on the page, on the real stack: by mouse, by keys alone, without scripts.

From an empty tenant: sign in, upload a file, apply the proposed settings, run, read the report,
accept a price to review, break the file, see the feed on hold, release it with a reason, try to
save an override with a wrong price, correct it, run again and look the SKU up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import pytest
from playwright.sync_api import Locator, Page, expect

from integration.installation import Installation
from relay_dagster.devstack.processes import API
from ui.chromium import find_chromium, open_browser, serving_a_page
from ui.hands import Judge, Keys, Mouse
from ui.views import sign_in

pytestmark = pytest.mark.integration

VENDOR = f"nordlager{'_nord' * 11}"  # the longest that an id may be
ROWS = [f"N-{number:03};{number};{number},50 €" for number in range(1, 41)]
DEARER = [ROWS[0], "N-002;2;2500,00 €", *ROWS[2:]]
SECONDS = 300


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    find_chromium()
    with (
        mock.patch.dict(os.environ),
        Installation(tmp_path_factory.mktemp("page")) as relay,
    ):
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
        "guards": {"quarantine": {}},
        "output": {"columns": ["sku", "quantity_available", "price"]},
    }  # fmt: skip
    stored = relay.http.put(f"/v1/tenants/{tenant}/config", json=document)
    assert stored.status_code == 201, stored.text
    response = relay.http.post(f"/v1/tenants/{tenant}/api-keys")
    return str(response.json()["api_key"])


class Merchant:
    """A merchant who goes through the pages with a mouse or with keys alone."""

    def __init__(
        self, hand: Mouse, folder: Path, *, scripts: bool = True
    ) -> None:
        self.hand = hand
        self._page = hand.page
        self._folder = folder
        self._scripts = scripts

    def button(self, name: str) -> Locator:
        return self._page.get_by_role("button", name=name)

    def link(self, name: str) -> Locator:
        return self._page.get_by_role("link", name=name, exact=True)

    def field(self, label: str) -> Locator:
        return self._page.get_by_label(label, exact=True)

    def sees(self, text: str) -> None:
        expect(self._page.locator("body")).to_contain_text(
            text, timeout=SECONDS * 1000
        )
        self.hand.look()

    def sign_in(self, api: str, key: str) -> None:
        self._page.goto(f"{api}/app")
        self.sees("Sign in")
        self.hand.enter(self._page.get_by_label("API key"), key)
        self.hand.press(self.button("Sign in"))

    def upload(self, rows: Sequence[str]) -> None:
        path = self._folder / "Lagerliste März.csv"
        path.write_bytes(
            "\r\n".join(["Artikelnummer;Bestand;Preis", *rows]).encode("cp1252")
        )
        self.hand.press(self.link("Overview"))
        self.hand.press(self.link(VENDOR).first)
        with self._page.expect_file_chooser() as chooser:
            self.hand.press(self._page.get_by_label("Vendor's file"))
        chooser.value.set_files(path)
        self.hand.press(self.button("Upload file"))
        self._page.wait_for_url("**/check")

    def run(self) -> None:
        page = self._page
        self.hand.press(self.link("Overview"))
        self.hand.press(self.button("Start run"))
        page.wait_for_url("**/runs/*")
        self.sees("The run is in progress")
        for _ in range(0 if self._scripts else SECONDS):
            if not page.locator("#progress").count():
                break
            page.wait_for_timeout(1000)
            # Between two pages there is no progress either.
            with page.expect_navigation():
                self.hand.press(self.link("Refresh"))
        page.wait_for_selector(
            "#progress", state="detached", timeout=SECONDS * 1000
        )

    def explain(self, sku: str) -> None:
        self.hand.press(self.link("SKU lookup"))
        self.sees("See how a SKU got its price")
        self.hand.enter(self.field("SKU"), sku)
        self.hand.press(self.button("Look up SKU"))

    def go_back(self) -> None:
        self._page.go_back()

    def press_text(self, text: str) -> None:
        self.hand.press(self._page.get_by_text(text))

    def press_label(self, label: str) -> None:
        self.hand.press(self._page.get_by_label(label))

    def fill(self, label: str, text: str) -> None:
        self.hand.enter(self._page.get_by_label(label), text)


def journey(
    hand: Mouse, api: str, key: str, folder: Path, *, scripts: bool = True
) -> None:
    """Go through the day."""
    merchant = Merchant(hand, folder, scripts=scripts)
    merchant.sign_in(api, key)
    publish_the_first_feed(merchant)
    accept_a_price(merchant)
    release_a_held_feed(merchant)
    override_a_price(merchant)
    hand.press(merchant.button("Sign out"))
    merchant.sees("Sign in")


def publish_the_first_feed(merchant: Merchant) -> None:
    merchant.sees("Create your first feed")
    merchant.upload(ROWS)
    merchant.sees("A run cannot use this file")
    merchant.hand.press(merchant.button("Apply these settings"))
    merchant.sees("The settings were applied (version 2)")
    merchant.sees("All 40 rows are valid.")
    merchant.run()
    merchant.sees("The new feed has 40 SKUs")
    merchant.hand.press(merchant.link("Report"))
    merchant.sees("Run report for")
    merchant.go_back()
    merchant.hand.press(merchant.link("Overview"))
    merchant.sees("40 SKUs are in your feed")


def accept_a_price(merchant: Merchant) -> None:
    merchant.upload(DEARER)
    merchant.run()
    merchant.sees("Prices to review")
    merchant.sees("far from the published price")
    merchant.press_label("Select N-002")
    merchant.fill(
        "Reason for accepting the prices", "it is sold by the thousand now"
    )
    merchant.hand.press(merchant.button("Accept prices"))
    merchant.sees("1 price accepted")


def release_a_held_feed(merchant: Merchant) -> None:
    merchant.upload(DEARER[:4])
    merchant.sees("All 4 rows are valid.")
    merchant.run()
    merchant.sees("The new feed is on hold")
    merchant.fill("Reason for the release", "the line is discontinued")
    merchant.hand.press(merchant.button("Release feed"))
    merchant.sees("released from hold. Reason: the line is discontinued")


def override_a_price(merchant: Merchant) -> None:
    hand = merchant.hand
    merchant.explain("N-002")
    merchant.sees(f"{VENDOR} has the only offer.")
    merchant.sees("3000.00")
    # The button is beside the price that was accepted.
    merchant.press_text("Edit override")
    price = merchant.field("Price (EUR)")
    hand.enter(price, "99,90")
    hand.press(merchant.button("Save override"))
    merchant.sees("Enter a valid price.")
    expect(price).to_have_value("99,90")
    hand.clear(price)
    hand.enter(price, "99.90")
    hand.press(merchant.button("Save override"))
    merchant.sees("99.90")
    merchant.run()
    merchant.sees("The new feed has 4 SKUs")
    merchant.explain("N-002")
    merchant.sees("Override")
    merchant.sees("99.90")


def test_a_merchant_s_day_without_a_fault_that_axe_finds(
    relay: Installation, tmp_path: Path
) -> None:
    key = new_tenant(relay, "by_mouse")
    with open_browser() as browser:
        journey(
            Judge(browser.page),
            relay.stack.url(API),
            key,
            tmp_path,
            scripts=False,
        )
        assert browser.refused == []


def test_the_same_day_by_keyboard_alone_on_a_phone(
    relay: Installation, tmp_path: Path
) -> None:
    key = new_tenant(relay, "by_keys")
    with open_browser(viewport={"width": 390, "height": 800}) as browser:
        journey(Keys(browser.page), relay.stack.url(API), key, tmp_path)


def test_the_same_day_without_scripts(
    relay: Installation, tmp_path: Path
) -> None:
    key = new_tenant(relay, "without_scripts")
    with open_browser(java_script_enabled=False) as browser:
        journey(
            Mouse(browser.page),
            relay.stack.url(API),
            key,
            tmp_path,
            scripts=False,
        )


def signed_in(page: Page, relay: Installation, tenant: str) -> str:
    """Sign in to a new tenant's pages, and return where they are."""
    page.goto(f"{relay.stack.url(API)}/app")
    sign_in(page, new_tenant(relay, tenant))
    page.wait_for_url(f"**/app/tenants/{tenant}")
    return page.url


POST_FORM = """([action, token]) => {
    const [form, field] = ["form", "input"].map(name => document.createElement(name));
    Object.assign(field, {name: "token", value: token});
    Object.assign(document.body.appendChild(form), {method: "post", action}).append(field);
    form.submit();
}"""


@pytest.mark.parametrize(
    ("host", "tenant"),
    [("localhost", "other_site"), ("127.0.0.1", "other_port")],
)
def test_a_foreign_page_starts_nothing_and_shows_none_of_ours_in_its_frame(
    relay: Installation, host: str, tenant: str
) -> None:
    with open_browser() as browser, serving_a_page() as port:
        page = browser.page
        home = signed_in(page, relay, tenant)
        token = page.locator("input[name=token]").first.get_attribute("value")
        page.goto(f"http://{host}:{port}/")
        with page.expect_navigation() as gone:
            page.evaluate(POST_FORM, [f"{home}/runs", token])
        assert gone.value is not None
        # The cookie goes to another port of the same host alone.
        assert gone.value.status == (401 if host == "localhost" else 403)
        assert (
            relay.http.get("/v1/runs", params={"tenant_id": tenant}).json()[
                "runs"
            ]
            == []
        )
        page.goto(f"http://{host}:{port}/")
        page.set_content(f'<iframe src="{home}"></iframe>')
        page.wait_for_load_state("networkidle")
        assert "Relay Inventory" not in page.frames[1].content()
        page.goto(home)
        page.get_by_role("button", name="Start run").click()
        page.wait_for_url("**/runs/*")


def test_a_list_of_512_mib_goes_past_the_api_and_is_told_of_clearly(
    relay: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "everything.csv"
    block = "".join(
        f"Artikel-{number:08};5;4,20\r\n" for number in range(1 << 15)
    ).encode()
    with path.open("wb") as file:
        file.write(b"Artikelnummer;Bestand;Preis\r\n")
        while file.tell() < 512 << 20:
            file.write(block)
    with open_browser() as browser:
        page = browser.page
        home = signed_in(page, relay, "large_list")
        page.goto(f"{home}/vendors/{VENDOR}")
        before = resident_mib(relay)
        page.get_by_label("Vendor's file").set_input_files(path)
        page.set_default_timeout(4 * SECONDS * 1000)
        page.get_by_role("button", name="Upload file").click()
        page.wait_for_url("**/check")
        main = page.locator("main")
        expect(main).to_contain_text("A run cannot use this file")
        expect(main).to_contain_text(
            "With these settings, a run can use this file. All of the first 5,000 rows are valid."
        )
        expect(main).to_contain_text("537 MB")
        assert resident_mib(relay) - before < 64


def resident_mib(relay: Installation) -> float:
    """Return how much memory the API's process has."""
    status = Path(
        f"/proc/{relay.stack.services[API].process.pid}/status"
    ).read_text()
    (line,) = (
        line_text
        for line_text in status.splitlines()
        if line_text.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024
