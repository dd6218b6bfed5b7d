"""Relay's engine: vendors' feeds in, one exact, priced feed out. No Dagster, no AWS, no clock.

Names load when they are first used, so that reading a config does not import pandas or Arrow.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "ArtifactKeys": "publish.keys",
    "ConfigError": "domain.errors",
    "FailureCode": "domain.codes",
    "InputVerdict": "validation.trouble",
    "Limits": "domain.limits",
    "MergedInventory": "merge.result",
    "NormalizedVendor": "normalize.result",
    "RelayError": "domain.errors",
    "ReportEntry": "domain.records",
    "RowFault": "domain.codes",
    "RunContext": "domain.records",
    "RunFailure": "domain.records",
    "RunFindings": "publish.findings",
    "RunStages": "stages",
    "RunStatus": "domain.codes",
    "Sink": "stages",
    "Stage": "domain.codes",
    "TenantConfig": "config",
    "UnsupportedSchemaVersionError": "domain.errors",
    "VendorFeed": "normalize.vendor_feed",
    "WarningCode": "domain.codes",
    "judge_inputs": "validation.trouble",
    "judge_normalized": "pipeline",
    "load_config": "config",
    "load_stored_config": "config",
    "merge_vendors": "pipeline",
    "normalize_vendors": "pipeline",
    "parse_document": "config",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from the module that it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
