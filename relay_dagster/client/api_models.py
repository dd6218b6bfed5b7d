"""What the API answers, as far as the commands look at it. Instants and money stay text.

Fields that a newer API adds do no harm, so that an older client goes on working.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from relay_core.domain.codes import RunStatus

_ENDED = {str(status) for status in RunStatus if status.has_ended}


class Answer(BaseModel):
    """A JSON object; what is not named here is kept as it came."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def as_json(self) -> dict[str, Any]:
        """Return the object as it came."""
        return self.model_dump(mode="json", exclude_unset=True)


class Example(Answer):
    """One SKU that a guard counts: a price or a quantity, as it was and as it is."""

    sku: str
    before: str | int | None
    after: str | int | None


class GuardResult(Answer):
    """What a guard came to: so many of so many, against its limit."""

    guard: str
    vendor_id: str | None = None
    side: str | None = None
    value: str
    limit: str
    count: int
    of: int
    examples: list[Example] = []


class Hold(Answer):
    """Why a feed is held back, or was."""

    sha256: str
    baseline_run_id: str
    guards: list[GuardResult]

    @property
    def guard_names(self) -> tuple[str, ...]:
        """The names of the guards that tripped, each once."""
        return tuple(dict.fromkeys(each.guard for each in self.guards))


class FeedChanges(Answer):
    """How many SKUs a feed changes against the published one; from ``price_up`` on, of both."""

    baseline_run_id: str
    added: int
    removed: int
    changed: int
    unchanged: int
    price_up: int
    price_down: int
    came_in_stock: int
    went_out_of_stock: int
    vendor_changed: int


class Run(Answer):
    """A run, as it stands."""

    run_id: str
    tenant_id: str
    status: str
    stage: str
    attempt: int
    requested_at: str
    config_version: int | None = None
    vendors: list[str] | None = None
    trigger: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    next_attempt_at: str | None = None
    cancel_requested_at: str | None = None
    failed_stage: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    baseline_run_id: str | None = None
    changes: FeedChanges | None = None
    failure_class: str | None = None
    next_action: str | None = None
    hold: Hold | None = None
    released_at: str | None = None
    released_by: str | None = None
    release_reason: str | None = None
    dagster_url: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended for good."""
        return self.status in _ENDED

    @property
    def succeeded(self) -> bool:
        """Whether the run has published a feed."""
        return self.status == RunStatus.SUCCEEDED

    @property
    def is_held(self) -> bool:
        """Whether the run's feed waits for a decision."""
        return self.status == RunStatus.HELD

    @property
    def cause(self) -> str:
        """``error_code: message`` in one line; of a run that is held or cancelled, that it is."""
        if self.is_held and self.hold is not None:
            return f"{self.status}: {', '.join(self.hold.guard_names)}"
        if self.error_code is None:
            return f"{self.status}: the run was cancelled in {self.failed_stage or self.stage}"
        return f"{self.error_code}: {' '.join((self.error_message or '').split())}"


class Page(Answer):
    """Some of a listing's entries, and where the next ones begin."""

    next_cursor: str | None


class RunPage(Page):
    """Runs, newest first."""

    runs: list[Run]


class PublishedFeed(Answer):
    """A tenant's feed that is in force."""

    tenant_id: str
    run_id: str


class StoredVersion(Answer):
    """Which version a config became."""

    tenant_id: str
    config_version: int


class StoredConfig(StoredVersion):
    """A config, one version of it."""

    stored_at: str
    next_run_at: str | None = None
    tenant_config: dict[str, Any]


class UploadLink(Answer):
    """A form that takes one file."""

    url: str
    fields: dict[str, str]
    key: str
    max_bytes: int
    expires_at: str


class VendorStanding(Answer):
    """What the last run of all vendors has come to with one of them."""

    vendor_id: str
    status: str
    uploaded_at: str | None = None
    age_hours: int | None = None
    rows: int | None = None
    invalid_rows: int | None = None
    skus_won: int | None = None


class TenantStatus(Answer):
    """How a tenant stands."""

    state: str = "ACTIVE"
    delete_after: str | None = None
    published_run_id: str | None = None
    published_at: str | None = None
    feed_age_seconds: int | None = None
    held_run_id: str | None = None
    active_run_id: str | None = None
    next_run_at: str | None = None
    vendors: list[VendorStanding] = []


class Fault(Answer):
    """One thing to look at in a config."""

    path: str
    message: str


class MissingHeader(Answer):
    """A column that a vendor's file does not give."""

    column: str
    header: str | None = None
    nearest: str | None = None


class RefusedCells(Answer):
    """Cells of a file that are refused for one reason; row and value are those of the first."""

    error_code: str
    column: str | None = None
    count: int
    row_number: int
    value: str


class Reading(Answer):
    """What a run would make of the first rows of a file."""

    usable: bool
    rows: int
    refused_rows: int
    refusals: list[RefusedCells] = []
    error_code: str | None = None
    error_message: str | None = None


class VendorCheck(Answer):
    """A vendor's latest upload, as far as its first bytes tell."""

    vendor_id: str
    status: str
    message: str
    s3_key: str | None = None
    size: int | None = None
    last_modified: str | None = None
    missing_headers: list[MissingHeader] = []
    unused_headers: list[str] = []
    guesses: dict[str, Any] | None = None
    as_sent: Reading | None = None
    with_patch: Reading | None = None


class PatchStep(Answer):
    """One change to a config; ``path`` is a JSON Pointer."""

    op: str
    path: str
    value: Any = None


class ConfigCheck(Answer):
    """What is wrong, and what is doubtful, in a config that was not stored."""

    valid: bool
    faults: list[Fault] = []
    doubts: list[Fault] = []
    vendors: list[VendorCheck] = []
    patch: list[PatchStep] = []


class Winner(Answer):
    """The best of the offers that competed for a SKU."""

    vendor_id: str
    row_number: int


class PriceStep(Answer):
    """A step of a price."""

    step: str
    operand: str | None
    before: str | None
    after: str


class ExplainedOffer(Answer):
    """One vendor's offer of a SKU, and what it has lost on."""

    vendor_id: str
    vendor_sku: str | None
    row_number: int
    quantity_available: int
    stock_quantity: int | None
    cost: str | None
    price: str | None
    landed_cost: str | None
    lead_time_days: int | None
    updated_at: str
    rule: int | None
    lost_on: str | None


class RefusedRow(Answer):
    """A row of a SKU that was refused."""

    vendor_id: str
    row_number: int
    error_codes: str


class Explanation(Answer):
    """Why a SKU's row of a feed is what it is."""

    sku: str
    winner: Winner | None
    feed_row: dict[str, str] | None
    reason: str | None
    price_steps: list[PriceStep] | None
    offers_count: int
    offers: list[ExplainedOffer]
    refused_count: int
    refused: list[RefusedRow]
