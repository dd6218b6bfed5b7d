"""Forms that arrive after their session has ended.

The sign-in page carries the fields of a form of settings as one text. Nobody parses the
text before a key is known, and it is in no cookie and no URL.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote_plus

from fastapi import Request
from starlette.datastructures import QueryParams

from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.http.middleware import BodyRefusedError
from relay_dagster.http.request_bodies import read_body
from relay_dagster.http.security.sessions import form_token
from relay_dagster.web.visits import fields_to_repeat, session_secret_of

_PAGES_WITH_FORMS = ("/app/tenants/", "/app/runs/")
# The address of a form of settings: its tenant, the page of the form, an action.
_SETTINGS = re.compile(
    r"(?P<page>/app/tenants/(?P<tenant>[\w-]+)/settings/"
    r"(?:vendors/[\w-]+(?:/parts/[\w-]+|/columns)?"
    r"|prices/rules/(?:new|\d+)"
    r"|channels/list/[\w-]+"
    r"|[\w-]+))"
    r"(?:/[\w-]+)*",
    re.ASCII,
)
# The key, the two tokens, and the addresses need the rest of the sign-in form.
_MAX_BYTES = DEFAULT_API_LIMITS.sign_in_bytes - 2048


@dataclass(frozen=True, slots=True)
class LateForm:
    """A form that was sent too late. Nothing of it is saved."""

    path: str  # the address that it was sent to
    text: str = ""  # its fields as they were sent; "" if they are lost

    @property
    def page_path(self) -> str | None:
        """The address of the page that has the form; None if it has no settings."""
        match = _SETTINGS.fullmatch(self.path)
        return match["page"] if match else None

    def can_be_sent_by(self, tenant_id: str | None) -> bool:
        """Return True if a tenant can send the form again."""
        match = _SETTINGS.fullmatch(self.path)
        return bool(self.text and match and match["tenant"] == tenant_id)

    def fields(self) -> list[tuple[str, str]]:
        """Return the names and values, without those of the ended session.

        Without its step, the form leads to the review of its changes.
        """
        return fields_to_repeat(QueryParams(self.text))


async def late_form_of(request: Request) -> LateForm | None:
    """Return the form of a request whose session has ended, or None if it has none.

    The fields are lost unless they are of a form that changes the config and fit the
    sign-in form. A page of another site cannot know the token that they need.

    Raises:
        BodyRefusedError: The form did not arrive in time.
    """
    path = request.url.path
    if request.method != "POST" or not path.startswith(_PAGES_WITH_FORMS):
        return None
    lost_form = LateForm(path)
    session_secret = session_secret_of(request)
    if lost_form.page_path is None or not session_secret:
        return lost_form
    try:
        body = await read_body(request, _MAX_BYTES)
    except BodyRefusedError as error:
        if error.code != "PAYLOAD_TOO_LARGE":
            raise
        return lost_form
    fields = body.split(b"&")
    has_token = f"token={form_token(session_secret)}".encode() in fields
    # Other forms of settings may have a secret, and they have no review.
    has_version = any(field.startswith(b"version=") for field in fields)
    is_small = len(quote_plus(body)) <= _MAX_BYTES
    if not (has_token and has_version and is_small and body.isascii()):
        return lost_form
    return LateForm(path, body.decode("ascii"))
