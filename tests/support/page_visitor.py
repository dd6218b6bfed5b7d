"""A browser without eyes: it opens pages, reads them, and sends their forms as they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response

from relay_dagster.http.security.sessions import sign_in_token
from support.api_world import TENANT, ApiWorld
from support.html_page import Element, read_page

SITE = "https://testserver"
COOKIE = "__Host-relay"
HOME = f"/app/tenants/{TENANT}"


@dataclass
class Visitor:
    """One browser, and the API world behind it."""

    world: ApiWorld
    client: TestClient
    key: str = ""

    def open(self, path: str, status: int = 200) -> Element:
        """Return a page that answers with a status."""
        response = self.client.get(path)
        assert response.status_code == status, response.text
        return read_page(response.content)

    def fill(self, page: Element, action: str, **fields: Any) -> Response:
        """Send the form of a page that leads to an address, with these fields filled in."""
        (form,) = (
            candidate
            for candidate in page.all("form")
            if candidate.attributes["action"].endswith(action)
        )
        sent: dict[str, list[str]] = {}
        for entry in form.all("input"):
            kind = entry.attributes.get("type")
            if (
                kind in ("hidden", "text", None)
                or "checked" in entry.attributes
            ):
                values = sent.setdefault(entry.attributes["name"], [])
                values.append(entry.attributes.get("value", ""))
        names = {
            entry.attributes.get("name")
            for entry in form.all("input", "textarea", "select")
        }
        assert set(fields) <= names, f"the form has {names}"
        sent |= {name: [value] for name, value in fields.items()}
        return self.client.post(form.attributes["action"], data=sent)

    def sign_in(self, key: str) -> Response:
        """Sign in by a key, in place of who is signed in here."""
        self.key = key
        return self.client.post("/app/sign-in", data=self.sign_in_form(key))

    def sign_in_form(self, key: str) -> dict[str, str]:
        """Return the fields of the sign-in form as it was shown to this browser."""
        if self._form_cookie is None:
            self.client.get("/app/sign-in")
        assert self._form_cookie is not None
        return {"key": key, "token": sign_in_token(self._form_cookie)}

    @property
    def _form_cookie(self) -> str | None:
        """The cookie that the token of the sign-in form belongs to."""
        for name, value in self.client.cookies.items():
            if name.endswith("-sign-in"):
                return value
        return None


def browser(world: ApiWorld) -> Visitor:
    """Return a browser that is not signed in."""
    client = TestClient(world.app, base_url=SITE, follow_redirects=False)
    return Visitor(world, client)


def signed_in(world: ApiWorld, *scopes: str) -> Visitor:
    """Return a browser that is signed in by a new key of the tenant, with all scopes or some."""
    order = {"scopes": list(scopes)} if scopes else None
    created = world.client.post(f"/v1/tenants/{TENANT}/api-keys", json=order)
    visitor = browser(world)
    response = visitor.sign_in(created.json()["api_key"])
    assert response.status_code == 303, response.text
    return visitor
