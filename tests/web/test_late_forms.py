"""Forms of settings that arrive after their session has ended: nothing is lost, or it is said."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import Response

from support.api_world import TENANT
from support.html_page import Element, read_page
from support.page_visitor import Visitor
from support.settings_forms import SETTINGS, form_of, lines, save, stored

STOCK = f"{SETTINGS}/stock"
LOST = "Your session has ended, so nothing was saved."
SENT = "continue with the changes that you sent. Nothing is saved yet."


def end_session(visitor: Visitor) -> None:
    key_id = visitor.key.split("_")[1]
    keys = f"/v1/tenants/{TENANT}/api-keys"
    assert visitor.world.client.delete(f"{keys}/{key_id}").status_code == 204


def send_late(visitor: Visitor, path: str, **changes: Any) -> Response:
    """Send the form of a page whose session has ended since it was opened."""
    fields = {**form_of(visitor.open(path), path), **changes}
    end_session(visitor)
    response = visitor.client.post(path, data=fields)
    assert response.status_code == 401
    return response


def sign_in(visitor: Visitor, page: Element, key: str) -> Response:
    """Send the sign-in form unchanged but for a key."""
    fields = {**form_of(page, "/app/sign-in"), "key": key}
    return visitor.client.post("/app/sign-in", data=fields)


def test_changes_that_were_sent_too_late_are_reviewed_after_the_sign_in(
    visitor: Visitor,
) -> None:
    version, _ = stored(visitor)
    entered = {"stock.cap": '<5 & "6"', "step": "save"}
    late = send_late(visitor, STOCK, **entered)
    assert SENT in late.text
    assert "cap" not in str(late.headers), "in no cookie, in no URL"
    # A wrong key does not lose them either.
    wrong = sign_in(visitor, read_page(late.content), "rk_wrong")
    assert wrong.status_code == 401
    key = visitor.world.issue_key(TENANT)
    page = sign_in(visitor, read_page(wrong.content), key)
    assert page.status_code == 200
    assert form_of(read_page(late.content), "/app/sign-in")["next"] == [STOCK]
    fields = form_of(read_page(page.content), STOCK)
    assert fields["stock.cap"] == ['<5 & "6"']
    assert "step" not in fields
    answer = visitor.client.post(STOCK, data={**fields, "stock.cap": "50"})
    review = read_page(answer.content)
    assert [row[2] for row in lines(review)] == ["50 pieces"]
    assert stored(visitor)[0] == version, "only the review saves"
    save(visitor, "stock", review)
    assert stored(visitor)[0] == version + 1


def test_a_new_vendor_that_was_sent_too_late_is_added_after_the_sign_in(
    visitor: Visitor,
) -> None:
    path = f"{SETTINGS}/new-vendor"
    late = send_late(visitor, path, **{"vendors.1.vendor_id": "bolt_works"})
    assert SENT in late.text
    key = visitor.world.issue_key(TENANT)
    page = read_page(sign_in(visitor, read_page(late.content), key).content)
    answer = visitor.client.post(path, data=form_of(page, path))
    save(visitor, "new-vendor", read_page(answer.content))
    _, document = stored(visitor)
    vendor_ids = [vendor["vendor_id"] for vendor in document["vendors"]]
    assert vendor_ids == ["vendor_1", "bolt_works"]


@pytest.mark.parametrize(
    "changes",
    [
        {"stock.cap": "9" * 8192},
        {"token": "0" * 64},
        {"version": None},
    ],
    ids=["too large", "of another page", "without a review"],
)
def test_other_forms_are_lost_and_the_page_says_so(
    visitor: Visitor, changes: dict[str, Any]
) -> None:
    fields = {**form_of(visitor.open(STOCK), STOCK), **changes}
    fields = {name: value for name, value in fields.items() if value}
    end_session(visitor)
    late = visitor.client.post(STOCK, data=fields)
    assert late.status_code == 401
    assert LOST in late.text
    form = form_of(read_page(late.content), "/app/sign-in")
    assert set(form) == {"key", "token", "next"}
    response = sign_in(
        visitor, read_page(late.content), visitor.world.issue_key(TENANT)
    )
    assert response.headers["location"] == STOCK


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("secrets", "secrets"),
        ("people/keys/k1/delete", "people"),
        ("prices/rules/order", "prices"),
        ("prices/rules/2/remove", "prices/rules/2"),
        ("vendors/vendor_1/parts/extra/remove", "vendors/vendor_1/parts/extra"),
        ("vendors/vendor_1/pull", "vendors/vendor_1"),
    ],
)
def test_the_sign_in_leads_back_to_the_page_of_the_form(
    visitor: Visitor, path: str, page: str
) -> None:
    end_session(visitor)
    late = visitor.client.post(f"{SETTINGS}/{path}", data={"value": "s3cret"})
    assert "s3cret" not in late.text
    form = form_of(read_page(late.content), "/app/sign-in")
    assert form["next"] == [f"{SETTINGS}/{page}"]


@pytest.mark.parametrize(
    "path",
    [
        "/app/tenants/other/settings/stock",
        "https://other.example/app/tenants/acme/settings/stock",
        "/app/sign-out",
    ],
)
def test_nothing_is_sent_to_another_tenant_or_another_site(
    visitor: Visitor, path: str
) -> None:
    late = send_late(visitor, STOCK)
    fields = form_of(read_page(late.content), "/app/sign-in")
    key = visitor.world.issue_key(TENANT)
    response = visitor.client.post(
        "/app/sign-in", data={**fields, "key": key, "form_path": path}
    )
    assert response.headers["location"] == STOCK
