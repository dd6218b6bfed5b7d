"""Config documents with one thing changed, what is wrong with them, and the list of all fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from relay_core.config import ParserConfig, load_config
from relay_core.config.lint import lint_warnings
from relay_core.config.models import OutputColumn
from relay_core.domain.errors import ConfigError
from support.builders import config_document, tenant_config, vendor_document

ROOT = Path(__file__).resolve().parents[2]
ABSENT = object()
QUOTE_IT = 'put it in quotes, for example "no"'
DELIVERY = {
    "delivery_id": "marketplace",
    "url": "sftp://acme@files.example.com/in/",
    "secret": "marketplace",
    "host_key": "ssh-ed25519 "
    "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
}
"""A delivery with the options that it must have."""


def faults_of(document: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_config(document)
    return {fault.path: fault.message for fault in caught.value.faults}


def doubtful_paths(document: Any, section: str) -> list[str]:
    """Return the paths in a section of a config that the lint names."""
    return [
        warning.path
        for warning in lint_warnings(load_config(document))
        if warning.path.startswith(section)
    ]


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return a sound document with one value put, or with ABSENT taken out, at a path."""
    vendors = (vendor_document(), vendor_document("v2"))
    whole = config_document(
        *vendors,
        pricing={"rules": [{"margin_pct": "0.1"}]},
        channels=[{"channel_id": "shop", "output": {"columns": ["sku"]}}],
        deliveries=[DELIVERY],
    )
    document = json.loads(json.dumps(whole))
    *steps, last = path.split(".")
    place = document
    for step in steps:
        place = (
            place[int(step)]
            if isinstance(place, list)
            else place.setdefault(step, {})
        )
    key = int(last) if isinstance(place, list) else last
    if value is ABSENT:
        del place[key]
    else:
        place[key] = value
    return document


def parser_of(**options: Any) -> ParserConfig:
    return tenant_config(vendor_document(parser=options)).vendors[0].parser


P = "vendors.0.parser."

REQUIRED = (
    "tenant_id",
    "timezone",
    "default_currency",
    "vendors",
    "vendors.0.vendor_id",
    "vendors.0.inbound.type",
    "vendors.0.parser.format",
    "pricing.base_margin_pct",
    "pricing.min_price",
    "pricing.shipping_handling_flat",
    "merge.strategy",
    "output.columns",
)


def all_fields(
    model: type[BaseModel], path: str = ""
) -> list[tuple[str, bool]]:
    """Return each leaf's path and whether it is required."""
    fields = []
    for name, field in model.model_fields.items():
        section = _section_in(field.annotation)
        if section in (None, OutputColumn) or name in (
            "column_map",
            "skip_rows",
            "deleted",
        ):
            fields.append((path + name, field.is_required()))
        else:
            lists = ("vendors", "rules", "channels", "deliveries", "parts")
            step = f"{name}.0." if name in lists else f"{name}."
            fields += all_fields(section, path + step)
    return fields


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
