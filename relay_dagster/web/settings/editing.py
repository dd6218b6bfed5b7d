"""The way of a change: from a form to its lines, and from these to a new version.

A form is read twice: once for the review, and once more to be stored. Between the two,
the page carries the fields of the form, so nothing is stored on the way.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Response
from starlette.datastructures import QueryParams

from relay_core.config import TenantConfig, load_config
from relay_core.config.lint import config_doubts
from relay_core.domain import errors
from relay_core.domain.errors import ConfigFault
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import ProblemError
from relay_dagster.services import tenants
from relay_dagster.tenants.errors import VersionMismatchError
from relay_dagster.web import frame, visits
from relay_dagster.web.settings.change_lines import (
    ChangeLine,
    change_lines,
)

_MISMATCH = "CONFIG_VERSION_MISMATCH"
_MAX_LINES = 200
_MAX_DOUBTS = 20
_MAX_DIGITS = 15
# The steps after which the form is shown again: a review is left, or a SKU is tried.
_FORM_STEPS = ("edit", "try")


class Change(Protocol):
    """Applies a form to a config."""

    def __call__(self, document: dict[str, Any]) -> Mapping[str, Any]:
        """Return the config after the change.

        Raises:
            ConfigError: The form has no config.
        """


class ShowForm(Protocol):
    """Shows a form again."""

    def __call__(
        self, document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        """Return the page of the form with a config that is not stored."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A form that changes the config, as it was sent."""

    visit: visits.Visit
    stored: StoredConfig  # the latest config when the form arrived
    form: QueryParams
    title: str  # the title of the review
    path: str  # the address of the form
    change: Change
    show_form: ShowForm
    next_path: str = ""  # the page to open after saving; the form by default


@dataclass(frozen=True, slots=True)
class Draft:
    """A config that is not stored, and its difference to the stored one."""

    document: Mapping[str, Any]
    faults: Sequence[ConfigFault] = ()
    lines: Sequence[ChangeLine] = ()
    doubts: Sequence[str] = ()


def draft_of(
    visit: visits.Visit, stored: StoredConfig, change: Change
) -> Draft:
    """Return a stored config after a change, as the config's reader judges it."""
    document: Mapping[str, Any] = tenants.stored_document(stored)
    try:
        document = change(tenants.stored_document(stored))
        config = load_config(document, visit.platform.settings.limits)
    except errors.ConfigError as error:
        return Draft(document, error.faults)
    except errors.UnsupportedSchemaVersionError as error:
        fault = ConfigFault("schema_version", str(error))
        return Draft(document, [fault])
    if config.tenant_id != visit.tenant_id:
        message = f'must stay "{visit.tenant_id}"'
        return Draft(document, [ConfigFault("tenant_id", message)])
    before = tenants.config_document(visit.platform, stored)
    return Draft(
        document,
        lines=change_lines(before, config.to_document()),
        doubts=_new_doubts(visit, stored, config),
    )


def _new_doubts(
    visit: visits.Visit, stored: StoredConfig, config: TenantConfig
) -> list[str]:
    """Return the warnings about a config that the stored one does not have."""
    previous = tenants.read_stored(visit.platform, stored)
    known_texts: set[str] = set()
    if previous is not None:
        known_texts = {doubt.message for doubt in config_doubts(previous)}
    texts = [doubt.message for doubt in config_doubts(config)]
    return [text for text in texts if text not in known_texts][:_MAX_DOUBTS]


def respond(edit: Edit) -> Response:
    """Return the next page after a form was sent: the form, its review, or the result.

    Raises:
        ProblemError: The config cannot be stored.
    """
    visit = edit.visit
    stored = edit.stored
    if edit.form.get("version") != str(stored.version):
        return _changed_by_someone(edit)
    draft = draft_of(visit, stored, edit.change)
    step = edit.form.get("step")
    if step in _FORM_STEPS or draft.faults:
        return edit.show_form(draft.document, draft.faults)
    if step != "save":
        return _review(edit, stored, draft)
    body = json.dumps(draft.document).encode()
    try:
        saved = tenants.store_config(
            visit.tenant_id, visit, body, f'"{stored.version}"'
        )
    except VersionMismatchError:
        return _changed_by_someone(edit)
    except ProblemError as error:
        if error.error_code == _MISMATCH:
            return _changed_by_someone(edit)
        raise
    return frame.go_to(f"{edit.next_path or edit.path}?saved={saved.version}")


def _review(edit: Edit, stored: StoredConfig, draft: Draft) -> Response:
    """Return the page that shows the lines of a change before it is stored."""
    return frame.page(
        "settings_review.html.jinja",
        edit.visit,
        title=edit.title,
        path=edit.path,
        lines=draft.lines[:_MAX_LINES],
        more_lines=max(0, len(draft.lines) - _MAX_LINES),
        doubts=draft.doubts,
        version=stored.version,
        fields=visits.fields_to_repeat(edit.form),
    )


def _changed_by_someone(edit: Edit) -> Response:
    """Return the page for a form of an earlier version, with the changes of the form."""
    visit = edit.visit
    version = edit.form.get("version", "")
    lines: Sequence[ChangeLine] = ()
    stored = None
    if version.isascii() and version.isdigit() and len(version) <= _MAX_DIGITS:
        stored = visit.platform.tenants.version(visit.tenant_id, int(version))
    if stored is not None:
        lines = draft_of(visit, stored, edit.change).lines
    return frame.page(
        "settings_conflict.html.jinja",
        visit,
        status=412,
        title=edit.title,
        path=edit.path,
        lines=lines[:_MAX_LINES],
    )


def section_at(
    document: Mapping[str, Any], path: Sequence[str | int]
) -> dict[str, Any]:
    """Return the section at a path of a config; an absent one is empty."""
    section: Any = document
    for key in path:
        section = (
            section[int(key)]
            if isinstance(section, list)
            else section.get(key, {})
        )
    return section if isinstance(section, dict) else {}


def put_section(
    document: dict[str, Any],
    path: Sequence[str | int],
    section: dict[str, Any],
) -> None:
    """Put a section at a path of a config; sections around it are added."""
    if not path:
        document.update(section)
        for name in [name for name in document if name not in section]:
            del document[name]
        return
    target: Any = document
    for key in path[:-1]:
        target = (
            target[int(key)]
            if isinstance(target, list)
            else target.setdefault(key, {})
        )
    target[path[-1]] = section
