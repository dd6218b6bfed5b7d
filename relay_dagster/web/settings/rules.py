"""The pages of price rules: add, change, move and remove a rule."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import Response
from starlette.datastructures import QueryParams

from relay_core.domain.errors import ConfigFault
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import ProblemError
from relay_dagster.services import tenants
from relay_dagster.web import frame, visits
from relay_dagster.web.settings import editing, effects
from relay_dagster.web.settings.fields import FieldErrors, fields_of
from relay_dagster.web.settings.form_values import (
    read_section,
    read_whole,
)
from relay_dagster.web.settings.groups import (
    PRICES,
    Group,
    ShownGroup,
)
from relay_dagster.web.settings.options import options_of
from relay_dagster.web.settings.pages import (
    SETTINGS,
    settings_path,
    shown_form,
    trial_of_form,
    vendor_ids_of,
)

routes = frame.page_router()

_RULES = SETTINGS + "/prices/rules"
_RULE = Group("Rule", "PriceRule")
_MANY_EFFECTS = ConfigFault(
    "",
    "choose exactly one effect: a margin, a fixed markup, a fixed price, or leaving the "
    "offers out",
)


def _rules_of(document: Mapping[str, Any]) -> list[Any]:
    """Return the price rules of a config, which may have none."""
    return list(document.get("pricing", {}).get("rules") or [])


def _require_rule(rules: Sequence[Any], number: int) -> None:
    """Require that a rule exists; rules are numbered from 1.

    Raises:
        ProblemError: It does not (404).
    """
    if not 1 <= number <= len(rules):
        raise ProblemError("NOT_FOUND", "the settings have no such rule")


def _with_rules(
    document: dict[str, Any], rules: Sequence[Any]
) -> dict[str, Any]:
    document.setdefault("pricing", {})["rules"] = list(rules)
    return document


@routes.get(_RULES + "/new")
def show_new_rule(visit: visits.Configuring) -> Response:
    """Show the form of a new rule."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    return _rule_page(visit, stored, None, {})


@routes.get(_RULES + "/{number}")
def show_rule(number: int, visit: visits.Configuring) -> Response:
    """Show the form of a rule."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    document = tenants.config_document(visit.platform, stored)
    rules = _rules_of(document)
    _require_rule(rules, number)
    return _rule_page(visit, stored, number, rules[number - 1])


@routes.post(_RULES + "/order")
def change_order(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Review another order of the rules, or save it."""

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        rules = _rules_of(document)
        places: list[tuple[int, int]] = []
        for index in range(len(rules)):
            place = read_whole(form.get(f"place.{index + 1}", ""))
            if not isinstance(place, int):
                place = index + 1
            places.append((place, index))
        places.sort()
        return _with_rules(document, [rules[index] for _, index in places])

    return _respond(
        visit, form, settings_path(visit, "prices/rules/order"), change
    )


@routes.post(_RULES + "/new")
def add_rule(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Review a new rule, or save it. It is the last one."""

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        rules = _rules_of(document)
        path = f"pricing.rules.{len(rules)}"
        rule = read_section(form, path, options_of("PriceRule"), {}, {})
        return _with_rules(document, [*rules, rule])

    path = settings_path(visit, "prices/rules/new")
    return _respond(visit, form, path, change, is_new=True)


@routes.post(_RULES + "/{number}")
def change_rule(
    number: int, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Review the changes of a rule, or save them."""
    index = number - 1

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        rules = _rules_of(document)
        _require_rule(rules, number)
        rules[index] = read_section(
            form,
            f"pricing.rules.{index}",
            options_of("PriceRule"),
            rules[index],
            rules[index],
        )
        return _with_rules(document, rules)

    path = settings_path(visit, f"prices/rules/{number}")
    return _respond(visit, form, path, change, number=number)


@routes.post(_RULES + "/{number}/remove")
def remove_rule(
    number: int, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Review the config without a rule, or save it."""

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        rules = _rules_of(document)
        _require_rule(rules, number)
        return _with_rules(document, [*rules[: number - 1], *rules[number:]])

    path = settings_path(visit, f"prices/rules/{number}/remove")
    return _respond(visit, form, path, change)


def _respond(
    visit: visits.Visit,
    form: QueryParams,
    path: str,
    change: editing.Change,
    *,
    number: int | None = None,
    is_new: bool = False,
) -> Response:
    """Return the next page after a form of rules; the rules' own form shows errors."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)

    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        rules = _rules_of(document)
        has_form = is_new or number is not None
        if not has_form or not rules:
            return frame.go_to(settings_path(visit, "prices"))
        place = len(rules) if number is None else number
        return _rule_page(
            visit,
            stored,
            number,
            rules[place - 1],
            faults,
            index=place - 1,
            trial=trial_of_form(visit, form, document, faults),
        )

    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title="Prices",
            path=path,
            change=change,
            show_form=show_form,
            next_path=settings_path(visit, "prices"),
        )
    )


def _rule_page(
    visit: visits.Visit,
    stored: StoredConfig,
    number: int | None,
    rule: Mapping[str, Any],
    faults: Sequence[ConfigFault] = (),
    *,
    index: int | None = None,
    trial: effects.Trial | None = None,
) -> Response:
    """Return the form of a rule; ``number`` is None for a new one."""
    if index is None:
        document = tenants.stored_document(stored)
        index = len(_rules_of(document)) if number is None else number - 1
    path = f"pricing.rules.{index}"
    errors = FieldErrors(faults)
    fields = fields_of(path, _RULE.options, rule, errors)
    other_faults = [
        _MANY_EFFECTS if fault.path == path else fault
        for fault in errors.of_no_field()
    ]
    page = replace(PRICES, slug=f"prices/rules/{number or 'new'}")
    return shown_form(
        visit,
        stored,
        page,
        [ShownGroup(_RULE, fields)],
        errors,
        template="settings_rule.html.jinja",
        other_faults=other_faults,
        number=number,
        has_trial=True,
        trial=trial,
        vendor_ids=vendor_ids_of(visit, stored),
    )
