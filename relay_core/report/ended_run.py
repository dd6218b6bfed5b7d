"""The run that a report is about: all that its chapters are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from relay_core.domain.codes import RunStatus, WarningCode
from relay_core.domain.records import RunContext

if TYPE_CHECKING:
    from relay_core.publish.findings import RunFindings

# Warnings about vendors come first, so the later ones need not be looked through.
MAX_WARNINGS = 1_000
"""The number of warnings that a report looks through."""


class EndedRun(NamedTuple):
    """A run with its findings and its status."""

    context: RunContext
    findings: RunFindings
    status: RunStatus
    # The warnings about each vendor whose file was not used, in the config's order
    vendor_warnings: Mapping[str, Sequence[str]]

    @classmethod
    def of(
        cls, context: RunContext, findings: RunFindings, status: RunStatus
    ) -> EndedRun:
        """Return a run that ends with a status, for its report."""
        warnings = _vendor_warnings(findings)
        return cls(context, findings, status, warnings)


def _vendor_warnings(findings: RunFindings) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = defaultdict(list)
    for warning in findings.warnings[:MAX_WARNINGS]:
        is_of_vendor = warning.vendor_id is not None
        if is_of_vendor and warning.error_code != WarningCode.UNPRICED_SKU:
            messages[str(warning.vendor_id)].append(warning.error_message)
    vendor_ids = findings.scope.vendor_ids
    return {name: messages[name] for name in vendor_ids if name in messages}
