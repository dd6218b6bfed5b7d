"""The history of the settings, and all settings as text."""

from __future__ import annotations

import pytest

from support.html_page import read_page
from support.page_visitor import HOME, Visitor, signed_in
from support.settings_forms import (
    SETTINGS,
    form_of,
    lines,
    save,
    send,
    stored,
)


def test_history_says_who_changed_what_and_puts_a_version_back(
    visitor: Visitor,
) -> None:
    version, document = stored(visitor)
    save(visitor, "stock", send(visitor, "stock", **{"stock.cap": "9"}))
    rows = lines(visitor.open(f"{SETTINGS}/history"))
    assert [row[0] for row in rows] == ["Version 2", "Version 1"]
    assert rows[0][3] == "Stock: Offer at most"
    (key,) = visitor.world.client.get("/v1/tenants/acme/api-keys").json()[
        "api_keys"
    ]
    assert rows[0][2] == key["name"]
    page = visitor.open(f"{SETTINGS}/history/2")
    assert lines(page) == [["Stock: Offer at most", "Not set", "9 pieces"]]
    assert "These are your current settings." in page.text
    slug = f"history/{version}"
    page = send(visitor, slug)
    assert lines(page) == [["Stock: Offer at most", "9 pieces", "Not set"]]
    assert save(visitor, slug, page) == f"{SETTINGS}/history?saved=3"
    assert stored(visitor) == (3, document)


def test_a_version_that_never_was_is_not_found(visitor: Visitor) -> None:
    visitor.open(f"{SETTINGS}/history/99", 404)


def test_the_text_that_is_sent_as_it_is_changes_nothing(
    visitor: Visitor,
) -> None:
    assert "Nothing would change" in send(visitor, "text").text


def test_the_text_is_judged_shown_as_lines_and_stored(visitor: Visitor) -> None:
    path = f"{SETTINGS}/text"
    fields = form_of(visitor.open(path), path)
    (text,) = fields["text"]
    page = send(visitor, "text", text=text.replace("'0'", "'0.5'", 1))
    assert lines(page) == [["Prices: Margin", "0%", "50%"]]
    save(visitor, "text", page)
    assert stored(visitor)[1]["pricing"]["base_margin_pct"] == "0.5"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("pricing: [", "is not valid YAML"),
        ("tenant_id: other", "is required"),
        ("- 1", "must be a mapping"),
    ],
)
def test_a_text_with_errors_lists_them_and_is_kept(
    visitor: Visitor, text: str, fault: str
) -> None:
    page = send(visitor, "text", 422, text=text)
    assert fault in page.text
    assert form_of(page, f"{SETTINGS}/text")["text"] == [text]


def test_a_text_of_another_tenant_is_at_fault(visitor: Visitor) -> None:
    path = f"{SETTINGS}/text"
    (text,) = form_of(visitor.open(path), path)["text"]
    # The folder of the uploads is under the other tenant's, too.
    text = text.replace("acme", "other")
    page = send(visitor, "text", 422, text=text)
    assert 'must stay "acme"' in page.text


def test_a_key_that_cannot_configure_sees_no_settings(visitor: Visitor) -> None:
    reader = signed_in(visitor.world, "read")
    assert "Settings" not in reader.open(HOME).one("nav").text
    answer = reader.client.get(SETTINGS)
    assert answer.status_code == 403
    assert "scope config" in read_page(answer.content).text
