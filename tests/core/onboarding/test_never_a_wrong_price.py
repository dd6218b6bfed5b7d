"""No proposal makes a price that is not a whole cell of its record, whatever the table."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from check_corpus import bare_config
from relay_core.config import ParserConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.onboarding import dry_run
from relay_core.onboarding.feed_check import check_feed, with_rows
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.layout_guess import guess_sheet
from support.normalizing import offers_of
from support.workbooks import text_row, workbook

HEADERS = (
    ("Code", "Description", "Charge"),
    ("CDM#", "Text", "Gross Charge"),
    ("kode", "tekst", "belop"),
    None,
)
PREAMBLES = (
    "Acme Supply",
    "Prices as of 1/1/2019",
    "Hospital, Springfield",
    "Version;3",
    "",
)
NOUNS = ("bolt", "gauze", "splint 5", "valve, left", 'pipe 3"')


@dataclass(frozen=True)
class Table:
    """A table as text, and the numbers that its cells mean.

    Attributes:
        text: The text.
        numbers: The numbers of each record, keyed by the record's code.
    """

    text: str
    numbers: dict[str, set[Decimal]]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    decimal, group = draw(
        st.sampled_from(
            [(".", ","), (".", ""), (",", "."), (",", ""), (",", " ")]
        )
    )
    places = draw(st.sampled_from([0, 2]))
    symbol = draw(st.sampled_from(["", "$", "€ ", "USD "]))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    is_quoted = draw(st.booleans())
    is_padded = draw(st.booleans())
    with_stock = draw(st.booleans())
    header = draw(st.sampled_from(HEADERS))
    prices = draw(
        st.lists(st.integers(1, 999_999_999), min_size=3, max_size=25)
    )
    scale = draw(st.sampled_from([1, 100, 10_000]))

    def cell(text: str) -> str:
        needs_quotes = delimiter in text or text.startswith('"')
        if is_quoted and needs_quotes:
            return '"' + text.replace('"', '""') + '"'
        return text

    records = []
    numbers = {}
    for index, price in enumerate(prices):
        amount = Decimal(price // scale) / (100 if places else 1)
        whole, _, fraction = f"{amount:,.{places}f}".partition(".")
        written = whole.replace(",", group)
        if fraction:
            written += decimal + fraction
        code = f"C-{index:04d}"
        noun = NOUNS[index % len(NOUNS)]
        fields = [code, f"{noun} no {index}", f"{symbol}{written}"]
        numbers[code] = {amount}
        if with_stock:
            fields.append(str(index % 7))
            numbers[code].add(Decimal(index % 7))
        records.append(fields)
    if header is not None:
        names = [*header, "Stock"] if with_stock else [*header]
        records.insert(0, names)
    lines = [delimiter.join(map(cell, fields)) for fields in records]
    padding = delimiter * 2 if is_padded else ""
    preamble = draw(st.lists(st.sampled_from(PREAMBLES), max_size=4))
    lines = [f"{cell(line)}{padding}" for line in preamble] + lines
    return Table("\n".join(lines) + "\n", numbers)


@settings(max_examples=60)
@given(tables())
def test_each_price_of_a_proposal_is_a_cell_of_its_record(
    table: Table,
) -> None:
    upload = FeedSample(table.text.encode(), is_whole=True)
    for code, cost in costs_of(upload).items():
        assert code in table.numbers
        assert cost in table.numbers[code], table.text


@settings(max_examples=20)
@given(
    st.integers(0, 12),
    st.integers(13, 40),
    st.booleans(),
    st.lists(st.sampled_from(PREAMBLES), max_size=3),
)
def test_of_two_sheets_the_one_with_fewer_rows_is_not_proposed(
    few: int, many: int, is_first: bool, preamble: list[str]
) -> None:
    def sheet(count: int) -> str:
        rows = [[line] for line in preamble if line]
        rows.append(["Code", "Text", "Price"])
        rows += [
            [f"C-{n}", f"text {n}", f"{n}.50"] for n in range(1, count + 1)
        ]
        return "".join(
            text_row(number, *row) for number, row in enumerate(rows, 1)
        )

    sheets = [sheet(few), sheet(many)]
    names = ("Few", "Many")
    if not is_first:
        sheets.reverse()
        names = ("Many", "Few")
    parser = ParserConfig(format="xlsx")
    guess = guess_sheet(workbook(*sheets, names=names), parser)
    assert guess.name == "Many"
    assert guess.row_counts == {"Few": few, "Many": many}
    assert guess.changes.get("sheet") == ("Many" if is_first else None)


def costs_of(upload: FeedSample) -> dict[str, Decimal]:
    """Return the cost of each SKU with the proposal for a file, without unpriced SKUs."""
    config = bare_config()
    vendor = config.vendors[0]
    try:
        check = check_feed(upload, vendor.parser, config)
        check = with_rows(check, upload, vendor, config)
    except FeedUnreadableError:
        return {}
    if not check.changes:
        return {}
    proposed_vendor = vendor.model_copy(update={"parser": check.parser})
    proposed = config.model_copy(update={"vendors": (proposed_vendor,)})
    whole_upload = FeedSample(upload.data, is_whole=True, rows=0)
    reading, rows = dry_run.read_vendor(
        whole_upload, check.parser, proposed, proposed_vendor
    )
    if rows is None or not reading.is_usable:
        return {}
    skus = offers_of(rows)["sku"].to_pylist()
    costs = offers_of(rows)["cost"].to_pylist()
    return {
        sku: cost
        for sku, cost in zip(skus, costs, strict=True)
        if cost is not None
    }
