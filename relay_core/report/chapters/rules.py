"""The chapter on the tenant's own rules, with the effect of each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from relay_core.domain.cell_rules import cut
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.run_faults import counted
from relay_core.report.blocks import Cell, Column
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import (
    MAX_TABLE_ROWS,
    table,
    without_empty_columns,
)
from relay_core.report.report import Chapter

if TYPE_CHECKING:
    from relay_core.publish.applied_rules import AppliedRule

# The effects of rules that run_summary.json calls by another name
_VERBS = {
    "refused": "rejected",
    "held back": "not offered",
    "set aside": "not used",
}
_COLUMNS = (
    Column("path", "Setting", "code"),
    Column("rule", "Rule", "note"),
    Column("vendor_id", "Vendor"),
    Column("did", "Effect"),
)


def chapter(run: EndedRun) -> Chapter | None:
    """Return the rules of the run's config, or None if it has none."""
    rules = run.findings.rules
    if not rules:
        return None
    effects = table(
        "rules",
        "Effect of each rule of your config",
        _COLUMNS,
        map(_row_of, rules),
        limit=MAX_TABLE_ROWS,
        total=len(rules),
        artifact="run_summary",
    )
    facts: Counter[str] = Counter()
    for rule in rules:
        facts[f"rules/{rule.did}"] += rule.count
    block = without_empty_columns(effects, ["vendor_id"])
    return Chapter("rules", "Your rules", (block,), facts=dict(facts))


def _row_of(applied: AppliedRule) -> tuple[Cell, ...]:
    count = counted(applied.count, applied.noun)
    verb = _VERBS.get(applied.verb, applied.verb)
    return (
        Cell(applied.path),
        Cell(cut(applied.rule, MAX_QUOTED)),
        Cell(applied.vendor_id),
        Cell(f"{count} {verb}"),
    )
