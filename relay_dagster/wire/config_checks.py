"""The response of `config:check`, which ``services/config_checks.py`` makes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr

from relay_dagster.wire.base import Fault, OpenEnum, ResponseBody

NO_PART_ID = ""
"""The part of a vendor that has no parts, which no response names."""
VendorCheckStatus = Literal["read", "missing", "unreadable", "not_looked_at"]


class MissingHeaderFound(ResponseBody):
    """A column that the file does not have."""

    column: str = Field(description="The canonical column.", examples=["cost"])
    header: str | None = Field(
        None,
        description="The header that the config maps to the column, if any.",
    )
    nearest: str | None = Field(
        None,
        description="The most similar header of the file.",
    )


class Guesses(ResponseBody):
    """The probable format of the file.

    Options of the config are kept unless the file contradicts them.
    """

    format: str
    compression: str
    sheet: str | None
    encoding: str
    delimiter: str
    skip_lines: int
    decimal_separator: str
    thousands_separator: str | None
    currency_symbols: list[str]


class RefusedCells(ResponseBody):
    """Cells that are rejected for the same reason.

    The row and the value are those of the first cell.
    """

    error_code: str = Field(examples=["invalid_decimal"])
    column: str | None = Field(
        None,
        description="Null if a record has more or fewer cells than the header.",
    )
    count: int
    row_number: int
    line: int | None = Field(
        None,
        description="The line of a CSV file, if it differs from the row number.",
    )
    sheet_row: int | None = Field(
        None,
        description="The row of a workbook, if it differs from the row number.",
    )
    value: str = Field(examples=["4,20"])


class HeadReading(ResponseBody):
    """The result of reading the rows as a run would read them."""

    usable: bool = Field(description="Whether a run would use the file.")
    rows: int = Field(description="The number of rows.")
    refused_rows: int = Field(description="The number of rejected rows.")
    refusals: list[RefusedCells] = Field([])
    error_code: str | None = Field(
        None,
        description="The error if not, as in a run's `errors.json`.",
    )
    error_message: str | None = None


class HeaderCandidate(ResponseBody):
    """A header that may belong to a column whose header is not certain."""

    column: str = Field(description="The canonical column.", examples=["cost"])
    header: str
    score: float = Field(
        description="The similarity of the header to names of the column, from 0 to 1.",
    )
    samples: list[str] = Field(
        description="The first different values under the header.",
    )


class DoubtFound(ResponseBody):
    """A part of the config or of a file that is valid, but probably unintended."""

    code: str = Field("config", examples=["same_sku"])
    path: str
    vendor_id: str | None = None
    count: int | None = Field(None, description="The number of rows concerned.")
    samples: list[str] | None = Field(None, description="At most five values.")
    message: str


class VendorCheck(ResponseBody):
    """The check of a vendor's latest upload, or of one of its parts."""

    OPTIONAL_FIELDS = frozenset({"part_id"})

    vendor_id: str
    part_id: str | None = Field(
        NO_PART_ID,
        description="The part that the file is for. Null for the vendor's own file. Only "
        "a vendor with `parts` or `changes` has this field.",
        exclude_if=lambda part_id: part_id == NO_PART_ID,
    )
    status: Annotated[VendorCheckStatus, OpenEnum()]
    message: str = Field(description="The result, for people.")
    s3_key: str | None = None
    size: int | None = None
    last_modified: datetime | None = None
    headers: list[str] = Field(
        [],
        description="The headers of the file. At most 200.",
    )
    missing_headers: list[MissingHeaderFound] = Field([])
    unused_headers: list[str] = Field([])
    candidates: list[HeaderCandidate] = Field(
        [],
        description="The headers that a person can choose for each uncertain column. If "
        "`patch` maps one of them, it is the first; else, the most similar one is.",
    )
    rows_looked_at: int | None = Field(
        None,
        description="The number of rows that were read.",
    )
    whole: bool | None = Field(
        None,
        description="Whether all rows of the file were read.",
    )
    guesses: Guesses | None = None
    as_sent: HeadReading | None = Field(
        None,
        description="The result with the config as it was sent.",
    )
    with_patch: HeadReading | None = Field(
        None,
        description="The result with `patch` applied. Null if there is no change.",
    )
    # The first different values under each header, for the pages; no response has them.
    _samples: dict[str, tuple[str, ...]] = PrivateAttr(default_factory=dict)

    def with_samples(self, samples: Mapping[str, tuple[str, ...]]) -> Self:
        """Return the check with the first different values under each header."""
        self._samples = dict(samples)
        return self

    @property
    def samples(self) -> Mapping[str, tuple[str, ...]]:
        """The first different values under each header, which no response has."""
        return self._samples


class Operation(ResponseBody):
    """A step of a JSON Patch (RFC 6902)."""

    op: Annotated[Literal["add", "replace"], OpenEnum()]
    path: str = Field(
        description="A JSON Pointer into the config that was sent.",
        examples=["/vendors/1/parser/delimiter"],
    )
    value: Any = Field(examples=[";"])


class ConfigCheck(ResponseBody):
    """The errors and the doubts of a config. The config is not stored."""

    tenant_id: str
    valid: bool = Field(description="Whether the config has no errors.")
    faults: list[Fault] = Field([], description="The errors of the config.")
    doubts: list[DoubtFound] = Field(
        [],
        description="Parts that are valid, but probably unintended.",
    )
    vendors: list[VendorCheck] = Field(
        [],
        description="The vendors in the order of the config. Empty if the config has "
        "too many errors to name them.",
    )
    patch: list[Operation] = Field(
        [],
        description="A JSON Patch (RFC 6902) to the config that was sent, with which "
        "the uploads can be read better. It was tested on the uploads. Empty if no "
        "change helps.",
    )
