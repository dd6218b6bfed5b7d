"""The history of a tenant's settings, and all settings as text."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import Response

from relay_core.config import parse_document
from relay_core.domain.errors import ConfigFault
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.http.problems import ProblemError
from relay_dagster.services import tenants
from relay_dagster.tenants.audit import Action
from relay_dagster.web import frame, visits
from relay_dagster.web.settings import editing
from relay_dagster.web.settings.change_lines import (
    ChangeLine,
    change_lines,
)
from relay_dagster.web.settings.groups import PAGES
from relay_dagster.web.settings.pages import (
    SETTINGS,
    Saved,
    settings_path,
)
from relay_dagster.web.shop import shop_of

routes = frame.page_router()

_MAX_VERSIONS = 25
_MAX_LINES = 200
_MAX_NAMED_LINES = 3
# A form has further fields, and its text grows when it is encoded.
_MAX_TEXT_BYTES = DEFAULT_API_LIMITS.form_bytes // 2


class VersionLine(NamedTuple):
    """A version of the settings, in the history."""

    version: int
    stored_at: datetime
    actor: str  # the name of the key that stored it, or "" if it is unknown
    summary: str  # the settings that changed


# --- the history --------------------------------------------------------------------


@routes.get(SETTINGS + "/history")
def show_history(visit: visits.Configuring, saved: Saved = None) -> Response:
    """Show the latest versions of the settings."""
    configs = visit.platform.tenants.versions(
        visit.tenant_id, limit=_MAX_VERSIONS + 1
    )
    actors = _actors(visit)
    versions = []
    for index, config in enumerate(configs[:_MAX_VERSIONS]):
        previous = configs[index + 1] if index + 1 < len(configs) else None
        versions.append(
            VersionLine(
                config.version,
                config.stored_at,
                actors.get(config.version, ""),
                _summary(_lines_since(visit, previous, config)),
            )
        )
    return frame.page(
        "settings_history.html.jinja",
        visit,
        pages=PAGES.values(),
        versions=versions,
        saved=saved,
        shop=shop_of(visit.platform, configs[0]),
    )


def _actors(visit: visits.Visit) -> dict[int, str]:
    """Return who stored the latest versions, by the version."""
    actors: dict[int, str] = {}
    page = visit.platform.audit.list_entries(
        visit.tenant_id, Action.CONFIG_PUT, limit=_MAX_VERSIONS, after=None
    )
    for entry in page.items:
        document = entry.to_document()
        version = document["details"].get("config_version_after")
        actors[version] = document["actor"]["name"]
    return actors


def _lines_since(
    visit: visits.Visit, previous: StoredConfig | None, config: StoredConfig
) -> Sequence[ChangeLine]:
    """Return the settings in which a version differs from the previous one."""
    if previous is None:
        return ()
    return change_lines(
        tenants.config_document(visit.platform, previous),
        tenants.config_document(visit.platform, config),
    )


def _summary(lines: Sequence[ChangeLine]) -> str:
    names = [line.setting for line in lines[:_MAX_NAMED_LINES]]
    rest = len(lines) - len(names)
    if rest > 0:
        names.append(f"{rest} more")
    return "; ".join(names)


def _find_version(visit: visits.Visit, number: int) -> StoredConfig:
    """Return a version of the settings.

    Raises:
        ProblemError: There is no such version (404).
    """
    config = visit.platform.tenants.version(visit.tenant_id, number)
    if config is None:
        raise ProblemError("NOT_FOUND", "the settings have no such version")
    return config


@routes.get(SETTINGS + "/history/{number}")
def show_version(number: int, visit: visits.Configuring) -> Response:
    """Show the changes of a version, and the form that puts it back."""
    config = _find_version(visit, number)
    previous = visit.platform.tenants.version(visit.tenant_id, number - 1)
    latest = tenants.find_config(visit.platform, visit.tenant_id)
    lines = _lines_since(visit, previous, config)
    return frame.page(
        "settings_version.html.jinja",
        visit,
        pages=PAGES.values(),
        path=settings_path(visit, "history", str(number)),
        config=config,
        actor=_actors(visit).get(number, ""),
        lines=lines[:_MAX_LINES],
        more_lines=max(0, len(lines) - _MAX_LINES),
        is_first=previous is None,
        version=latest.version,
        shop=shop_of(visit.platform, config),
    )


@routes.post(SETTINGS + "/history/{number}")
def put_version_back(
    number: int, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Review the changes that put an earlier version back, or save them."""
    config = _find_version(visit, number)
    stored = tenants.find_config(visit.platform, visit.tenant_id)

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        return tenants.stored_document(config)

    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        if faults:
            message = (
                "this release of Relay no longer accepts the version; its settings "
                f"have the error {faults[0]}"
            )
            raise ProblemError("INVALID_REQUEST", message)
        return frame.go_to(settings_path(visit, "history", str(number)))

    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title=f"Put version {number} back",
            path=settings_path(visit, "history", str(number)),
            change=change,
            show_form=show_form,
            next_path=settings_path(visit, "history"),
        )
    )


# --- all settings as text -----------------------------------------------------------


@routes.get(SETTINGS + "/text")
def show_text(visit: visits.Configuring, saved: Saved = None) -> Response:
    """Show all settings as text."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    return _text_page(visit, stored, text_of(stored), saved=saved)


def text_of(stored: StoredConfig) -> str:
    """Return a stored config as YAML, with its numbers as they were written."""
    # The API must load quickly, and few visits need the text.
    import yaml

    document = json.loads(stored.text, parse_float=str)
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text


@routes.post(SETTINGS + "/text")
def change_text(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Review the changes of the text, or save them."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        limits = visit.platform.settings.limits
        text = form.get("text", "").encode()
        return parse_document(text, format="yaml", limits=limits)

    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        return _text_page(visit, stored, form.get("text", ""), faults)

    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title="All settings",
            path=settings_path(visit, "text"),
            change=change,
            show_form=show_form,
        )
    )


def _text_page(
    visit: visits.Visit,
    stored: StoredConfig,
    text: str,
    faults: Sequence[ConfigFault] = (),
    *,
    saved: int | None = None,
) -> Response:
    return frame.page(
        "settings_text.html.jinja",
        visit,
        status=422 if faults else 200,
        pages=PAGES.values(),
        path=settings_path(visit, "text"),
        text=text,
        fits=len(text.encode()) <= _MAX_TEXT_BYTES,
        faults=faults,
        version=stored.version,
        saved=saved,
    )
