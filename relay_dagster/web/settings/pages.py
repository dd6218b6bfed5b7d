"""The settings pages whose forms are made of the config's schema."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response
from starlette.datastructures import QueryParams

from relay_core.config import TenantConfig, load_config
from relay_core.domain.errors import ConfigFault
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import ProblemError
from relay_dagster.runs.ports import utc_now
from relay_dagster.services import tenants
from relay_dagster.web import frame, visits
from relay_dagster.web.settings import editing, effects
from relay_dagster.web.settings.fields import FieldErrors
from relay_dagster.web.settings.groups import (
    CHANNELS,
    PAGES,
    PRICES,
    SAFETY,
    SCHEDULE,
    SettingsPage,
    ShownGroup,
    apply_groups,
    shown_groups,
)
from relay_dagster.web.shop import shop_of

routes = frame.page_router()

SETTINGS = frame.HOME + "/tenants/{tenant_id}/settings"
_NEXT_TIMES = 5
_MAX_VERSIONS = 25
Saved = Annotated[int | None, Query(ge=1, lt=2**53)]
"""The config version that a form has just stored."""


def settings_path(visit: visits.Visit, *parts: str) -> str:
    """Return the path of a settings page of the visitor's tenant."""
    root = SETTINGS.format(tenant_id=visit.tenant_id)
    return "/".join([root, *parts])


def page_of(slug: str) -> SettingsPage:
    """Return the page with a slug.

    Raises:
        ProblemError: There is none (404).
    """
    if slug not in PAGES:
        raise ProblemError("NOT_FOUND", "there is no such page of settings")
    return PAGES[slug]


@routes.get(SETTINGS)
def show_all(visit: visits.Configuring) -> Response:
    """Show the list of settings pages."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    return frame.page(
        "settings.html.jinja",
        visit,
        pages=PAGES.values(),
        shop=shop_of(visit.platform, stored),
        stored=stored,
        vendor_ids=vendor_ids_of(visit, stored),
    )


def vendor_ids_of(visit: visits.Visit, stored: StoredConfig) -> list[str]:
    """Return the names of a config's vendors."""
    document = tenants.config_document(visit.platform, stored)
    return [str(vendor["vendor_id"]) for vendor in document["vendors"]]


@routes.get(SETTINGS + "/{slug}")
def show_page(
    slug: str, visit: visits.Configuring, saved: Saved = None
) -> Response:
    """Show a page of settings."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    document = tenants.config_document(visit.platform, stored)
    return _form_page(visit, stored, page_of(slug), document, saved=saved)


@routes.post(SETTINGS + "/{slug}")
def change_page(
    slug: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Review the changes of a page's form, or save them."""
    page = page_of(slug)
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    effective = tenants.config_document(visit.platform, stored)

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        return apply_groups(page.groups, form, document, effective)

    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        trial = trial_of_form(visit, form, document, faults)
        return _form_page(visit, stored, page, document, faults, trial=trial)

    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title=page.title,
            path=settings_path(visit, slug),
            change=change,
            show_form=show_form,
        )
    )


@routes.post(SETTINGS + "/schedule/pause")
def pause_triggers(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Review the config without automatic runs, or save it."""

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        return {**document, "triggers": {}}

    return _respond_to_pause(visit, form, "pause", change)


@routes.post(SETTINGS + "/schedule/resume")
def resume_triggers(
    visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Review the config with its latest automatic runs, or save it."""

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        return {**document, "triggers": _earlier_triggers(visit)}

    return _respond_to_pause(visit, form, "resume", change)


def _respond_to_pause(
    visit: visits.Visit,
    form: QueryParams,
    action: str,
    change: editing.Change,
) -> Response:
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    path = settings_path(visit, SCHEDULE.slug)

    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        return frame.go_to(path)

    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title=SCHEDULE.title,
            path=f"{path}/{action}",
            change=change,
            show_form=show_form,
            next_path=path,
        )
    )


def _earlier_triggers(visit: visits.Visit) -> Mapping[str, Any]:
    """Return the triggers of the latest version that has some; {} if none has."""
    versions = visit.platform.tenants.versions(
        visit.tenant_id, limit=_MAX_VERSIONS
    )
    for stored in versions:
        triggers = tenants.stored_document(stored).get("triggers") or {}
        if any(triggers.values()):
            return dict(triggers)
    return {}


def _form_page(
    visit: visits.Visit,
    stored: StoredConfig,
    page: SettingsPage,
    document: Mapping[str, Any],
    faults: Sequence[ConfigFault] = (),
    *,
    saved: int | None = None,
    trial: effects.Trial | None = None,
) -> Response:
    """Return the page of a form with a config, which may not be the stored one."""
    errors = FieldErrors(faults)
    groups = shown_groups(page.groups, document, errors)
    describe = _DESCRIPTIONS.get(page.slug)
    config = tenants.read_stored(visit.platform, stored)
    details: Mapping[str, Any] = {}
    template = "settings_form.html.jinja"
    if describe is not None and config is not None:
        details = describe(visit, config)
        template = f"settings_{page.slug}.html.jinja"
    return shown_form(
        visit,
        stored,
        page,
        groups,
        errors,
        template=template,
        saved=saved,
        details=details,
        has_trial=page is PRICES,
        trial=trial,
    )


def shown_form(
    visit: visits.Visit,
    stored: StoredConfig,
    page: SettingsPage,
    groups: Sequence[ShownGroup],
    errors: FieldErrors,
    *,
    template: str = "settings_form.html.jinja",
    other_faults: Sequence[ConfigFault] | None = None,
    **context: Any,
) -> Response:
    """Return the page of a form with its fields and their errors.

    The form changes the version ``stored`` of the config. ``other_faults`` defaults to
    the faults that no field has shown.
    """
    if other_faults is None:
        other_faults = errors.of_no_field()
    return frame.page(
        template,
        visit,
        status=422 if errors.faults else 200,
        page=page,
        pages=PAGES.values(),
        path=settings_path(visit, page.slug),
        groups=groups,
        faults=errors.faults,
        other_faults=other_faults,
        version=stored.version,
        shop=shop_of(visit.platform, stored),
        **context,
    )


def trial_of_form(
    visit: visits.Visit,
    form: QueryParams,
    document: Mapping[str, Any],
    faults: Sequence[ConfigFault],
) -> effects.Trial | None:
    """Return the price of the SKU that a form tries, or None if it tries none."""
    sku = form.get("try_sku", "").strip()
    if form.get("step") != "try" or faults or not sku:
        return None
    config = load_config(document, visit.platform.settings.limits)
    return effects.trial_of(visit, config.pricing, sku)


# --- what the pages show beside their forms -----------------------------------------


def _describe_prices(
    visit: visits.Visit, config: TenantConfig
) -> Mapping[str, Any]:
    return {"rules": effects.rule_lines(visit, config)}


def _describe_safety(
    visit: visits.Visit, config: TenantConfig
) -> Mapping[str, Any]:
    return {"guards": effects.guard_sentences(visit)}


def _describe_schedule(
    visit: visits.Visit, config: TenantConfig
) -> Mapping[str, Any]:
    """Return the next times of the schedule, and whether runs are paused."""
    times: list[datetime] = []
    instant = utc_now()
    while len(times) < _NEXT_TIMES:
        next_time = config.next_run_after(instant)
        if next_time is None:
            break
        times.append(next_time)
        instant = next_time
    starts_on_upload = config.triggers.on_upload is not None
    has_triggers = starts_on_upload or bool(times)
    return {
        "times": times,
        "starts_on_upload": starts_on_upload,
        "has_triggers": has_triggers,
        "can_resume": not has_triggers and bool(_earlier_triggers(visit)),
    }


def _describe_channels(
    visit: visits.Visit, config: TenantConfig
) -> Mapping[str, Any]:
    return {"channel_ids": [channel.channel_id for channel in config.channels]}


_DESCRIPTIONS: Mapping[
    str, Callable[[visits.Visit, TenantConfig], Mapping[str, Any]]
] = {
    PRICES.slug: _describe_prices,
    SAFETY.slug: _describe_safety,
    SCHEDULE.slug: _describe_schedule,
    CHANNELS.slug: _describe_channels,
}
"""The functions that return what a page shows beside its form, by slug."""
