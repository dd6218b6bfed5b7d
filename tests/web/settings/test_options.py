"""The options of the forms are those of the config's own schema, each with its words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.datastructures import QueryParams

from relay_core.config import load_config, parse_document
from relay_core.domain.errors import ConfigError
from relay_core.samples import SAMPLE_TENANTS, sample_config_text
from relay_dagster.web.settings.fields import (
    Field,
    FieldErrors,
    fields_of,
)
from relay_dagster.web.settings.form_values import (
    read_section,
    section_texts,
)
from relay_dagster.web.settings.groups import PAGES, WITHOUT_PAGE
from relay_dagster.web.settings.options import (
    all_sections,
    options_of,
)
from relay_dagster.wire.option_words import has_words
from support.pages import PAGES as DOCS

EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCS["docs/CONFIG.md"], re.DOTALL)


def test_every_option_of_the_config_is_on_a_page_or_has_a_reason() -> None:
    names_on_pages: set[str] = set()
    for page in PAGES.values():
        for group in page.groups:
            names = [option.name for option in group.options]
            names_on_pages.update(group.path[:1] or names)  # type: ignore[arg-type]
    names = {option.name for option in options_of("TenantConfig")}
    assert sorted(names - names_on_pages - {*WITHOUT_PAGE}) == []
    assert sorted({*WITHOUT_PAGE} & names_on_pages) == []


def test_every_option_has_words() -> None:
    assert [
        f"{section}.{option.name}"
        for section in all_sections()
        for option in options_of(section)
        if not has_words(section, option.name)
    ] == []


def documents() -> list[dict[str, Any]]:
    """Return the sample tenants' configs, and the examples of the guide."""
    whole = parse_document(EXAMPLES[0], format="yaml")
    examples = [
        {**whole, **parse_document(example, format="yaml")}
        for example in EXAMPLES
    ]
    samples = [
        parse_document(sample_config_text(tenant), format="yaml")
        for tenant in SAMPLE_TENANTS
    ]
    return [*samples, *examples]


@pytest.mark.parametrize("document", documents())
def test_a_form_of_all_options_that_is_sent_as_it_is_changes_nothing(
    document: dict[str, Any],
) -> None:
    effective = load_config(document).to_document()
    form = QueryParams(list(section_texts("", "TenantConfig", effective)))
    options = options_of("TenantConfig")
    assert read_section(form, "", options, document, effective) == document


@pytest.mark.parametrize("document", documents())
def test_a_form_of_all_options_makes_the_config_from_nothing(
    document: dict[str, Any],
) -> None:
    effective = load_config(document).to_document()
    form = QueryParams(list(section_texts("", "TenantConfig", effective)))
    options = options_of("TenantConfig")
    settings = read_section(form, "", options, {}, {})
    assert load_config(settings) == load_config(document)


def shown_errors(fields: Iterable[Field]) -> dict[str, str]:
    """Return the errors beside fields, by the name of the field."""
    errors: dict[str, str] = {}
    for field in fields:
        if field.error is not None:
            errors[field.name] = field.error.text
        errors |= shown_errors(field.fields)
        for row in field.rows:
            errors |= shown_errors(row.fields)
    return errors


def test_each_fault_of_the_reader_finds_its_field() -> None:
    sample = documents()[0]
    faulty = {
        **sample,
        "timezone": "Mars/Olympus",
        "guards": {"quarantine": {"max_pct": "7", "confirm_hours": "x"}},
        "stock": {"cap": "many"},
        "triggers": {"schedule": {"cron": "* * * * *"}},
        "output": {"columns": ["sku", {"column": "colour", "as": "c"}]},
        "exchange_rates": {"EUR": "0"},
        "pricing": {**sample["pricing"], "rules": [{"margin_pct": "-1"}]},
    }
    del faulty["pricing"]["min_price"]
    with pytest.raises(ConfigError) as caught:
        load_config(faulty)
    errors = FieldErrors(caught.value.faults)
    fields = fields_of("", options_of("TenantConfig"), faulty, errors)
    texts = shown_errors(fields)
    assert texts.pop("output.columns.1.column").startswith(
        '"colour" is not a canonical column'
    )
    assert texts == {
        "timezone": '"Mars/Olympus" is not an IANA time zone; use a name such as '
        "America/Chicago or UTC.",
        "exchange_rates": 'This value must be greater than 0, not "0".',
        "pricing.min_price": "Fill in this field.",
        "pricing.rules.0.margin_pct": "Enter a percentage from 0 to 10000.",
        "stock.cap": "Enter a whole number of 0 or more.",
        "guards.quarantine.confirm_hours": "Enter a whole number from 1 to 8760.",
        "guards.quarantine.max_pct": "Enter a percentage from 0 to 100.",
        "triggers.schedule.cron": "Two runs would start 1 min apart; schedule runs at "
        "least 5 min apart.",
    }
    assert errors.of_no_field() == []
