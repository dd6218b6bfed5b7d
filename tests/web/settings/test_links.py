"""Links, keys, webhooks and secrets on the settings pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.api_world import ApiWorld
from support.fakes import embedded_platform
from support.html_page import Element, errors_on, read_page
from support.page_visitor import SITE, Visitor, signed_in
from support.settings_forms import SETTINGS, form_of

SCOPES = ("read", "run", "config", "release", "upload", "keys")


@pytest.fixture
def owner() -> Iterator[Visitor]:
    """Somebody whose key has every scope."""
    with embedded_platform(public_url=SITE) as platform:
        world = ApiWorld(platform)
        world.store_config()
        yield signed_in(world, *SCOPES)


def post(visitor: Visitor, page: str, form: str, **fields: object) -> Element:
    """Fill in a form of a page, and return the page that answers it."""
    path = f"{SETTINGS}/{form}"
    sent = {**form_of(visitor.open(f"{SETTINGS}/{page}"), path), **fields}
    answer = visitor.client.post(path, data=sent)
    if answer.status_code == 303:
        return visitor.open(answer.headers["location"])
    return read_page(answer.content)


def shown_once(page: Element) -> str:
    """Return the text that a page shows this once."""
    (field,) = (
        field for field in page.all("input") if "readonly" in field.attributes
    )
    return field.attributes["value"]


def errors(page: Element) -> list[str]:
    return [error.text for error in errors_on(page)]


def test_a_feed_link_is_shown_once_listed_and_deleted(owner: Visitor) -> None:
    url = shown_once(post(owner, "links", "links", name="My shop"))
    assert "/f/" in url
    (link,) = owner.world.client.get("/v1/tenants/acme/feed-links").json()[
        "feed_links"
    ]
    assert link["name"] == "My shop"
    page = owner.open(f"{SETTINGS}/links")
    assert "My shop" in page.one("table").text
    assert url not in str([field.attributes for field in page.all("input")])
    page = post(owner, "links", f"links/{link['link_id']}/delete")
    assert "There are no links yet." in page.text


def test_a_link_without_a_name_or_of_the_past_is_at_fault(
    owner: Visitor,
) -> None:
    assert errors(post(owner, "links", "links", name="")) == [
        "Enter a name of 1 to 64 characters."
    ]
    page = post(owner, "links", "links", name="x", expires_on="2001-01-01")
    assert errors(page) == ["Enter a later date, at most a year from now."]


def test_a_supplier_s_link_leads_to_the_page_of_the_vendor(
    owner: Visitor,
) -> None:
    page = post(owner, "suppliers", "suppliers", name="Anna")
    assert errors(page) == ["Enter a later date, at most a year from now."]
    page = post(
        owner,
        "suppliers",
        "suppliers",
        name="Anna",
        expires_on="2027-03-01",
        vendor_id="vendor_1",
    )
    path = "/s/" + shown_once(page).partition("/s/")[2]
    assert owner.client.get(path).status_code == 200
    (link,) = owner.world.client.get("/v1/tenants/acme/supplier-links").json()[
        "supplier_links"
    ]
    assert link["expires_at"] == "2027-03-02T00:00:00Z"
    post(owner, "suppliers", f"suppliers/{link['link_id']}/delete")
    assert owner.client.get(path).status_code == 404


def test_a_key_is_shown_once_and_deleted(owner: Visitor) -> None:
    page = post(owner, "people", "people/keys", name="Ben", scopes=["read"])
    key = shown_once(page)
    client = owner.world.with_key(key)
    assert client.get("/v1/tenants/acme").status_code == 200
    keys = client.get("/v1/tenants/acme/api-keys").json()["api_keys"]
    (new_key,) = (entry for entry in keys if entry["name"] == "Ben")
    assert new_key["scopes"] == ["read"]
    post(owner, "people", f"people/keys/{new_key['key_id']}/delete")
    assert client.get("/v1/tenants/acme").status_code == 401


def test_a_key_without_permissions_is_at_fault(owner: Visitor) -> None:
    page = post(owner, "people", "people/keys", name="Ben", scopes=[])
    assert errors(page) == ["Select at least one permission that you have."]


def test_only_a_key_that_may_make_keys_has_the_form(visitor: Visitor) -> None:
    page = visitor.open(f"{SETTINGS}/people")
    assert "Create a key" not in page.text
    token = page.all("input")[0].attributes["value"]
    answer = visitor.client.post(
        f"{SETTINGS}/people/keys", data={"token": token, "scopes": "read"}
    )
    assert answer.status_code == 403


def test_a_webhook_shows_its_secret_once_and_is_tested_and_deleted(
    owner: Visitor,
) -> None:
    page = post(
        owner,
        "people",
        "people/webhooks",
        url="https://example.com/hook",
        events=["run.failed"],
    )
    assert shown_once(page).startswith("whsec_")
    (webhook,) = owner.world.client.get("/v1/tenants/acme/webhooks").json()[
        "webhooks"
    ]
    form = f"people/webhooks/{webhook['webhook_id']}"
    assert (
        "A test event is on its way."
        in post(owner, "people", f"{form}/test").text
    )
    post(owner, "people", f"{form}/delete")
    assert owner.world.client.get("/v1/tenants/acme/webhooks").json() == {
        "webhooks": []
    }


def test_a_webhook_of_this_machine_without_events_is_at_fault(
    owner: Visitor,
) -> None:
    page = post(owner, "people", "people/webhooks", url="http://x", events=[])
    assert errors(page)[0] == "Select at least one event."
    page = post(
        owner,
        "people",
        "people/webhooks",
        url="http://example.com",
        events=["run.failed"],
    )
    assert errors(page)[0].startswith("Enter a valid address.")


def test_a_secret_is_saved_and_never_shown(owner: Visitor) -> None:
    page = post(
        owner,
        "secrets",
        "secrets",
        name="ftp",
        host="x.example",
        value="s3cret",
    )
    assert "ftp" in page.one("table").text
    assert "s3cret" not in str([part.attributes for part in page.all()])
    page = post(owner, "secrets", "secrets", name="a b", host="x", value="y")
    assert errors(page) == [
        "Enter 1 to 64 letters, digits, underscores, and hyphens."
    ]
    page = post(owner, "secrets", "secrets/ftp/delete")
    assert "There are no secrets yet." in page.text
