"""A merchant at the settings pages: fills in a form, reads its review, and saves it."""

from __future__ import annotations

import json
from typing import Any

from support.html_page import Element, read_page
from support.page_visitor import HOME, Visitor

SETTINGS = f"{HOME}/settings"


def stored(visitor: Visitor) -> tuple[int, dict[str, Any]]:
    """Return the version and the document of the config, as they are stored."""
    config = visitor.world.platform.tenants.latest("acme")
    assert config is not None
    return config.version, json.loads(config.text)


def form_of(page: Element, path: str) -> dict[str, Any]:
    """Return the fields of the form that leads to a path, as a browser sends them."""
    (form,) = (
        form for form in page.all("form") if form.attributes["action"] == path
    )
    fields: dict[str, list[str]] = {}
    for field in form.all("input", "select", "textarea"):
        name = field.attributes.get("name")
        kind = field.attributes.get("type")
        if name is None:
            continue
        value = field.attributes.get("value", "")
        if kind in ("checkbox", "radio") and "checked" not in field.attributes:
            continue
        if field.tag == "textarea":
            value = "".join(str(part) for part in field.parts)
        if field.tag == "select":
            options = field.all("option")
            chosen = [
                option for option in options if "selected" in option.attributes
            ]
            (option, *_) = chosen or options
            value = option.attributes.get("value", option.text)
        fields.setdefault(name, []).append(value)
    return fields


def send(
    visitor: Visitor, slug: str, status: int = 200, **changes: Any
) -> Element:
    """Send the form of a page with changes, and return the next page."""
    path = f"{SETTINGS}/{slug}"
    fields = {**form_of(visitor.open(path), path), **changes}
    answer = visitor.client.post(path, data=fields)
    assert answer.status_code == status, answer.text
    return read_page(answer.content)


def save(visitor: Visitor, slug: str, page: Element) -> str:
    """Press *Save changes* of a review, and return where the browser goes."""
    path = f"{SETTINGS}/{slug}"
    fields = {**form_of(page, path), "step": "save"}
    answer = visitor.client.post(path, data=fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def lines(page: Element) -> list[list[str]]:
    rows = page.one("table").all("tr")[1:]
    return [[cell.text for cell in row.all("th", "td")] for row in rows]
