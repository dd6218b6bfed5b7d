"""The pages that an operator opens, and what must be seen there; pictures and tests share them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from integration import sample_tenant
from relay_core.samples import sample_feeds
from relay_dagster.wire.runs import RowCounts
from ui.chromium import WIDTH, Browser
from ui.exhibits import (
    FAILED,
    HELD,
    HISTORY,
    OVERRIDDEN_SKU,
    QUARANTINED,
    REFUSED,
    RELEASED,
    UPLOADED,
    Exhibits,
)

SECONDS_TO_LOAD = 30
POLL_MILLISECONDS = 200
STAGES = ("FETCH_INPUTS", "NORMALIZE", "MERGE_PRICE", "WRITE_OUTPUTS", "total")
CHANGES = (
    *("added", "removed", "changed", "unchanged", "price_up", "price_down"),
    *("came_in_stock", "went_out_of_stock", "vendor_changed"),
)
RULES_DID = (
    "SKUs priced",
    "SKUs kept at 0",
    "offers left out",
    "rows set aside",
    "units held back",
)
NUMBERS = (
    *("rows_in", "rows_valid", "rows_invalid", "rows_merged", "unpriced_skus"),
    *(f"seconds/{stage}" for stage in STAGES),
    *(f"changes/{name}" for name in CHANGES),
    *(
        f"rows/{name}"
        for name, field in RowCounts.model_fields.items()
        if field.is_required()
    ),
    *(f"rules/{did}" for did in RULES_DID),
)
"""What is drawn over time of each run that has succeeded."""
LOOKS: tuple[tuple[int, Literal["light", "dark"]], ...] = (
    (1280, "light"),
    (390, "dark"),
)
"""The widths and colours in which people look at a page."""
OVERHANGING = """() => [...document.querySelectorAll("body *")]
    .filter(it => !it.matches(".skip, thead, thead *"))
    .filter(it => it.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .filter(it => !it.closest(".scroll, pre") || document.documentElement.clientWidth < 640)
    .map(it => it.outerHTML.slice(0, 200))"""
"""What is not wholly in the window; on a desk a table may be wider than its place, and is moved."""
CALLS = "Stack Trace"
"""Where Dagster begins to list calls."""
FRAMEWORK = ("Traceback", "site-packages", "dagster._core", "execute_plan")
"""What a framework says of its own calls; on the page of a failed run it comes after our words."""


@dataclass(frozen=True, slots=True)
class View:
    """A page.

    Args:
        name: its picture's file name, without the ending.
        address: where it is.
        texts: what must be read on it.
        act: what is pressed first.
        height: of the window, so that the picture has all that matters.
        width: of the window.
        tenant: whose pages it is one of; somebody signs in then.
        scheme: of colours.
    """

    name: str
    address: Callable[[Exhibits], str]
    texts: Callable[[Exhibits], Sequence[str]]
    act: Callable[[Page], None] = lambda page: None
    height: int = 900
    width: int = WIDTH
    tenant: str | None = None
    scheme: Literal["light", "dark"] = "light"


def visit(browser: Browser, view: View, exhibits: Exhibits) -> str:
    """Open a page and return its text once all that must be read on it is there.

    Raises:
        AssertionError: something did not appear; the message says what, and what was there.
    """
    page = browser.page
    page.set_viewport_size({"width": view.width, "height": view.height})
    page.emulate_media(color_scheme=view.scheme)
    if view.tenant is not None:
        page.context.clear_cookies()
    page.goto(view.address(exhibits))
    if view.tenant is not None:
        sign_in(page, exhibits.key_of(view.tenant))
    view.act(page)
    expected_texts = view.texts(exhibits)
    deadline = time.monotonic() + SECONDS_TO_LOAD
    while True:
        text = page.locator("body").inner_text()
        missing = [
            text_expected
            for text_expected in expected_texts
            if text_expected not in text
        ]
        if not missing:
            return text
        assert time.monotonic() < deadline, (
            f"{view.name} does not show {missing}, but:\n{text}"
        )
        page.wait_for_timeout(POLL_MILLISECONDS)


def sign_in(page: Page, key: str) -> None:
    """Fill in the form of sign-in, and send it."""
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def assert_finished(page: Page) -> None:
    """Fail where axe finds a fault of a page, or it is wider than a desk's window or a phone's."""
    before = page.viewport_size
    assert before is not None
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": before["height"]})
        page.emulate_media(color_scheme=scheme)
        results = Axe().run(page)
        assert results.violations_count == 0, (
            f"{page.url}, {scheme}: {results.generate_report()}"
        )
        assert page.evaluate(OVERHANGING) == [], (
            f"{page.url} is wider than {width}"
        )
    page.set_viewport_size(before)
    page.emulate_media(color_scheme="light")


def press(*texts: str) -> Callable[[Page], None]:
    """Return an act that presses what has each text, one after the other, once it is there."""

    def act(page: Page) -> None:
        for text in texts:
            element = (
                page.get_by_text(text, exact=True).filter(visible=True).last
            )
            element.click(timeout=SECONDS_TO_LOAD * 1000)

    return act


def _asset(
    name: str, view: str, partition: str = ""
) -> Callable[[Exhibits], str]:
    chosen = f"&partition={partition}" if partition else ""
    return lambda ex: f"{ex.dagster}/assets/{name}?view={view}{chosen}"


def _dagster(path: str) -> Callable[[Exhibits], str]:
    return lambda ex: f"{ex.dagster}{path}"


def _run_page(ex: Exhibits) -> str:
    return f"{ex.dagster}/runs/{ex.failed['dagster_run_id']}"


def _labels(_: Exhibits) -> list[str]:
    return list(NUMBERS)


def _address(ex: Exhibits, run: Mapping[str, Any], name: str) -> str:
    return f"s3://{ex.relay.aws.objects.bucket}/{run['artifacts'][name]}"


def _materialized(ex: Exhibits) -> list[str]:
    run_id = str(ex.latest["run_id"])
    counts = ex.relay.record(run_id).counts
    numbers = [
        f"{counts[name]}"
        for name in ("total_rows", "record_count", "unpriced_skus")
    ]
    first_sku = ex.relay.csv(run_id).decode().splitlines()[1].split(",")[0]
    reports = ("merged_inventory", "errors", "run_summary")
    addresses = [_address(ex, ex.latest, name) for name in reports]
    vendors = [*sample_feeds(HISTORY)]
    return [
        *NUMBERS,
        *numbers,
        *vendors,
        "skus_won",
        first_sku,
        run_id,
        *addresses,
    ]


def _failure(ex: Exhibits) -> list[str]:
    return [
        f"{ex.failed['error_code']}: {ex.failed['error_message']}",
        str(ex.failed["run_id"]),
    ]


def _whole_failure(ex: Exhibits) -> list[str]:
    reports = ("errors", "run_summary", "input_manifest", "config_snapshot")
    addresses = [_address(ex, ex.failed, name) for name in reports]
    return [
        *_failure(ex),
        "NORMALIZE",
        *addresses,
        "errors_by_code",
        "invalid_quantity",
    ]


def _hold(ex: Exhibits) -> list[str]:
    hold = ex.held["hold"]
    names = sorted({result["guard"] for result in hold["guards"]})
    return [
        "HELD",
        "held_by",
        ", ".join(names),
        f"relay feed release {ex.held['run_id']}",
        "guards",
    ]


def _report(
    of: Callable[[Exhibits], Mapping[str, Any]],
) -> Callable[[Exhibits], str]:
    return lambda ex: str(_links(ex, of(ex))["report"])


def _links(ex: Exhibits, run: Mapping[str, Any]) -> Mapping[str, Any]:
    links: Mapping[str, Any] = ex.relay.http.get(
        f"/v1/runs/{run['run_id']}/artifacts"
    ).json()
    return links


def _run_list(ex: Exhibits) -> list[str]:
    tags = [f"partition: {tenant}" for tenant in (FAILED, REFUSED)]
    return [
        *tags,
        f"relay/run_id: {ex.failed['run_id']}",
        "Failure",
        "Success",
        "sqs_run_sensor",
    ]


ASSETS = "fetched_inventory", "normalized_inventory", "merged_inventory"
LAUNCH = "Launch runs to materialize 3 assets"
VIEWS = (
    View("runs", _dagster("/runs"), _run_list, height=780),
    View("failed_run", _run_page, _failure, height=1000),
    View(
        "failed_run_error",
        _run_page,
        _whole_failure,
        act=press("View full message"),
    ),
    View(
        "tenant",
        _asset("merged_inventory", "partitions", HISTORY),
        _materialized,
        height=1560,
    ),
    View(
        "uploaded_run",
        _asset("merged_inventory", "partitions", UPLOADED),
        lambda ex: [
            "started_by",
            "upload",
            str(ex.uploaded["run_id"]),
            f"/reports/{UPLOADED}/",
        ],
        height=1000,
    ),
    View(
        "held_run",
        _asset("merged_inventory", "partitions", HELD),
        _hold,
        height=1000,
    ),
    View(
        "lineage",
        _dagster("/locations/relay/asset-groups/inventory"),
        # They have loaded once they show how many partitions they have.
        lambda ex: [*ASSETS, "published_feed", "% filled"],
    ),
    View(
        "released_run",
        _asset("merged_inventory", "partitions", RELEASED),
        lambda ex: [
            "SUCCEEDED",
            "released_by",
            "the clearance sale",
            f"/reports/{RELEASED}/",
        ],
        height=700,
    ),
    View(
        "published_feed",
        _asset("published_feed", "events"),
        lambda ex: ["published_feed", RELEASED, HISTORY],
        height=800,
    ),
    View(
        "rolled_back_feed",
        _asset("published_feed", "partitions", RELEASED),
        lambda ex: [
            "rollback",
            "record_count",
            str(ex.released["hold"]["baseline_run_id"]),
        ],
        height=700,
    ),
    View(
        "report",
        _report(lambda ex: ex.held),
        lambda ex: [
            "The new feed is on hold",
            HELD,
            "SKUs removed",
            "What changed",
        ],
        height=1640,
        width=1000,
    ),
    View(
        "report_phone",
        _report(lambda ex: ex.refused),
        lambda ex: [
            "No new feed was made",
            "validation_errors",
            "Why rows were rejected",
        ],
        height=1640,
        width=400,
    ),
    View(
        "plots",
        _asset("merged_inventory", "overview"),
        _labels,
        act=press("Plots", "Events"),
        height=1290,
    ),
    View(
        "checks",
        _asset("normalized_inventory", "checks"),
        lambda ex: [
            *(
                "canonical_schema_holds",
                "invalid_pct_within_max",
                "invalid_rows_within_max",
            ),
            *("errors_by_code", "invalid_quantity", "north", "south", REFUSED),
        ],
        height=1040,
    ),
    View(
        "sensor",
        _dagster("/locations/relay/sensors/sqs_run_sensor"),
        lambda ex: ["waits for jobs in SQS", "1 run requested"],
    ),
    View(
        "daemons",
        _dagster("/deployment/daemons"),
        lambda ex: [
            "Sensors",
            "Run queue",
            "Monitoring",
            "Last heartbeat",
            "seconds ago",
        ],
        height=500,
    ),
    View(
        "materialize",
        _dagster("/locations/relay/jobs/inventory_sync"),
        lambda ex: [LAUNCH, FAILED, "1 partition", "Launch 1 run"],
        # A press of the title closes the list of tenants.
        act=press(
            "Materialize all…",
            "Select a partition or create one",
            FAILED,
            LAUNCH,
        ),
        height=740,
    ),
)
"""Pages that the runbook sends its reader to, each with a picture."""


def _page(
    name: str,
    tenant: str,
    path: Callable[[Exhibits], str],
    *texts: str,
    dark: bool = False,
    act: Callable[[Page], None] = lambda page: None,
) -> tuple[View, View]:
    """Return a merchant's page as a desk and a phone show it."""
    wide = View(
        name,
        lambda ex: f"{ex.api}/app/{path(ex)}",
        lambda ex: texts,
        act,
        1240,
        1280,
        tenant,
        "dark" if dark else "light",
    )
    return wide, replace(wide, name=f"{name}_phone", height=1500, width=390)


def _press_last(page: Page) -> None:
    press("Edit override")(page)
    page.get_by_text("Save override").scroll_into_view_if_needed()


def _change_stock(page: Page) -> None:
    page.get_by_label("Pieces to keep back").fill("2")
    page.get_by_label("Offer at most").fill("500")
    press("Review changes")(page)


_SUPPLIER = View(
    "page_supplier",
    lambda ex: f"{ex.supplier_page(FAILED, sample_tenant.VENDORS[0])}/check",
    lambda ex: ["Your file was checked", "Upload another file", "Latest files"],
    height=1000,
    width=1280,
)
PAGES = (
    *_page(
        "page_overview",
        HELD,
        lambda ex: f"tenants/{HELD}",
        *("in your feed", "To do", "Review feed"),
    ),
    *_page(
        "page_run",
        HELD,
        lambda ex: f"runs/{ex.held['run_id']}",
        *("is on hold", "Release feed", "Discard feed", "SKUs removed"),
    ),
    *_page(
        "page_vendor",
        FAILED,
        lambda ex: f"tenants/{FAILED}/vendors/{sample_tenant.VENDORS[0]}/check",
        *("Check of the latest file", "Apply these settings", "Upload a file"),
    ),
    *_page(
        "page_sku",
        HISTORY,
        lambda ex: f"tenants/{HISTORY}/skus?sku=ACM-10007",
        *("Price calculation", "Offers"),
        dark=True,
    ),
    *_page(
        "page_quarantine",
        QUARANTINED,
        lambda ex: f"runs/{ex.quarantined['run_id']}",
        *("Prices to review", "Reason for accepting", "Accept prices"),
    ),
    *_page(
        "page_override",
        QUARANTINED,
        lambda ex: f"tenants/{QUARANTINED}/skus?sku={OVERRIDDEN_SKU}",
        *(
            "Edit override",
            "24.90",
            "the autumn catalog",
            "Save override",
        ),
        act=_press_last,
    ),
    *_page(
        "page_overrides",
        QUARANTINED,
        lambda ex: f"tenants/{QUARANTINED}/skus",
        *("Overrides in effect", OVERRIDDEN_SKU, "24.90", "the autumn catalog"),
    ),
    *_page(
        "page_feeds",
        RELEASED,
        lambda ex: f"tenants/{RELEASED}/feeds",
        *("Earlier feeds", "Live", "Roll back"),
    ),
    *_page(
        "page_settings",
        HISTORY,
        lambda ex: f"tenants/{HISTORY}/settings",
        *("Add vendor", "Prices", "History"),
    ),
    *_page(
        "page_prices",
        HISTORY,
        lambda ex: f"tenants/{HISTORY}/settings/prices",
        *("Every price", "Price rules", "Try it on one SKU"),
        dark=True,
    ),
    *_page(
        "page_safety",
        HELD,
        lambda ex: f"tenants/{HELD}/settings/safety",
        *("Your latest feed", "Changes from one feed to the next"),
    ),
    *_page(
        "page_review",
        HISTORY,
        lambda ex: f"tenants/{HISTORY}/settings/stock",
        *("Review your changes", "Pieces to keep back", "Save changes"),
        act=_change_stock,
    ),
    *_page(
        "page_columns",
        HISTORY,
        lambda ex: (
            f"tenants/{HISTORY}/settings/vendors/"
            f"{next(iter(sample_feeds(HISTORY)))}/columns"
        ),
        *("Columns of the file", "First values", "Use as"),
    ),
    *_page(
        "page_channels",
        UPLOADED,
        lambda ex: f"tenants/{UPLOADED}/settings/channels",
        *("Add channel", "marketplace", "Public key of the server"),
    ),
    *_page(
        "page_deliveries",
        UPLOADED,
        lambda ex: f"tenants/{UPLOADED}/settings/deliveries",
        *("Whole file", "Send now", "The feed", "Article"),
    ),
    _SUPPLIER,
    replace(_SUPPLIER, name="page_supplier_phone", width=390, height=1100),
    View(
        "page_supplier_files",
        lambda ex: ex.supplier_page(UPLOADED, sample_tenant.VENDORS[0]),
        lambda ex: ["Latest files", "prices"],
        height=1240,
        width=1280,
    ),
)
"""Pages of merchants and suppliers, which docs/PAGE.md shows."""

API_PAGE = View(
    "api",
    lambda ex: f"{ex.api}/docs",
    lambda ex: [
        "Relay Inventory",
        "/v1/runs",
        "/v1/tenants/{tenant_id}/config",
        "Authorize",
    ],
)

LAUNCHPAD = View(
    "launchpad",
    _dagster("/locations/relay/jobs/inventory_sync/playground"),
    lambda ex: [
        "New Run",
        "Scaffold all default config",
        "No errors",
        "Launch Run",
    ],
)

CODE_LOCATIONS = View(
    "code_locations",
    _dagster("/locations"),
    lambda ex: ["1 code location", "relay"],
)
