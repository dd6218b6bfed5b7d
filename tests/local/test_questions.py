"""The answers: the likeliest ones, and those of a person at a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.first_config.answers import (
    Answers,
    likeliest_answers,
    margin_of,
)
from relay_core.first_config.drafts import VendorDraft, draft_of
from relay_core.mapped_files import InputFile
from relay_dagster.client.terminal import Screen
from relay_dagster.local.questions import asked_answers

TWO_CODES = b"Item No;EAN;Qty;Cost\n" + b"".join(
    f"A{n};40{n};5;2,50 EUR\n".encode() for n in range(1000, 1020)
)


def draft(data: bytes, vendor_id: str = "list") -> VendorDraft:
    name = f"{vendor_id}.csv"
    return draft_of(vendor_id, InputFile(name, data), name, DEFAULT_LIMITS)


def amounts(currency: str, rows: int) -> bytes:
    lines = [f"A{number},1,{currency} 2.50" for number in range(rows)]
    return "\n".join(["sku,qty,cost", *lines, ""]).encode()


def asked(
    monkeypatch: pytest.MonkeyPatch, *drafts: VendorDraft, typed: str
) -> tuple[Answers, str]:
    """Return the answers of a person who types these lines, and what was shown."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    output = io.StringIO()
    console = Console(file=output, width=200, highlight=False)
    return asked_answers(drafts, Screen(console, console)), output.getvalue()


@pytest.mark.parametrize(
    ("drafts", "currency"),
    [
        ([draft(b"sku,qty,cost\nA,1,2\n")], "USD"),
        ([draft(amounts("EUR", 9))], "EUR"),
        ([draft(amounts("EUR", 9)), draft(amounts("GBP", 12))], "GBP"),
        ([draft(b"%PDF-1.7"), draft(amounts("SEK", 3))], "SEK"),
    ],
    ids=["none", "one", "two", "beside a file that cannot be read"],
)
def test_the_currency_that_is_seen_most_is_the_likeliest(
    drafts: list[VendorDraft], currency: str
) -> None:
    answers = likeliest_answers(drafts)
    assert (answers.currency.value, answers.margin.value) == (currency, "0.20")
    assert list(answers.drafts) == drafts


def test_a_person_who_only_presses_enter_gets_the_likeliest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor = draft(TWO_CODES)
    answers, output = asked(monkeypatch, vendor, typed="\n\n\n")
    assert answers == likeliest_answers([vendor])
    assert "1. Item No (" in output
    assert "Number or header [Item No]:" in output
    assert "Currency of your feed [EUR]:" in output


def test_a_person_chooses_by_number_or_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor = draft(TWO_CODES)
    answers, _ = asked(monkeypatch, vendor, typed="2\nchf\n35 %\n")
    assert answers.drafts[0].sku_header == vendor.sku_candidates[1].header
    assert (answers.currency.value, answers.margin.value) == ("CHF", "0.35")
    answers, _ = asked(monkeypatch, vendor, typed="EAN\n\n0.5\n")
    assert answers.drafts[0].sku_header == "EAN"
    assert answers.margin.value == "0.5"


def test_an_answer_that_is_none_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, output = asked(
        monkeypatch,
        draft(TWO_CODES),
        typed="Artikel\n9\nEAN\neuro\nEUR\n20\nmuch\n20%\n",
    )
    assert answers.drafts[0].sku_header == "EAN"
    assert (answers.currency.value, answers.margin.value) == ("EUR", "0.20")
    assert 'The file has no column "Artikel"' in output
    assert output.count("Enter a currency code") == 1
    assert output.count("Enter the margin as a share or a percentage") == 2


def test_where_no_header_is_likely_all_of_them_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor = draft(b"Name,Price\n" + b"Saw,1.00\n" * 30)
    assert vendor.sku_header is None
    answers, output = asked(monkeypatch, vendor, typed="Name\n\n\n")
    assert 'Header ("Name", "Price"):' in output
    assert answers.drafts[0].sku_header == "Name"
    answers, _ = asked(monkeypatch, vendor, typed="")
    assert answers.drafts[0].sku_header is None


def test_where_input_ends_the_likeliest_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor = draft(TWO_CODES)
    answers, _ = asked(monkeypatch, vendor, typed="")
    assert answers == likeliest_answers([vendor])


def test_nothing_is_asked_of_a_file_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, output = asked(monkeypatch, draft(b"%PDF-1.7"), typed="")
    assert "which column" not in output


@pytest.mark.parametrize(
    ("text", "margin"),
    [
        ("0.20", "0.20"),
        ("20%", "0.20"),
        (" 12.5 % ", "0.125"),
        ("0", "0"),
        ("-1", None),
        ("101", None),
        ("NaN", None),
        ("inf", None),
        ("0.1234567", None),
        ("abc", None),
        ("%", None),
    ],
)
def test_a_margin_is_a_share_or_a_percentage(
    text: str, margin: str | None
) -> None:
    assert margin_of(text) == margin
