"""The effects of settings in the latest feed, in sentences."""

from typing import NamedTuple

from relay_core.config import PriceRule, TenantConfig
from relay_core.domain.records import GuardResult
from relay_core.publish.report import wording
from relay_dagster.api.routes import tenants
from relay_dagster.api.routes.runs import summary_of
from relay_dagster.api.web import visits, words
from relay_dagster.runs.model import RunRecord

_MAX_NAMES = 5


class RuleLine(NamedTuple):
    """A price rule in words."""

    number: int
    applies_to: str
    effect: str
    # The effect in the latest feed, such as "12 SKUs priced"; "" if it is unknown
    result: str


def latest_run(visit: visits.Visit) -> RunRecord | None:
    """Return the run of the live feed, or the run whose feed is on hold."""
    runs = visit.platform.runs
    pointer = runs.feed(visit.tenant_id)
    if pointer is None:
        return None
    return runs.get(pointer.held_run_id or pointer.in_force.run_id)


def rule_lines(visit: visits.Visit, config: TenantConfig) -> list[RuleLine]:
    """Return the price rules in words, with their effect in the latest feed.

    A rule that has changed since has no count.
    """
    rules = config.pricing.rules
    counts = _counts_of_rules(visit) if rules else {}
    lines = []
    for number, rule in enumerate(rules, start=1):
        count = counts.get(rule.model_dump_json(), "")
        lines.append(
            RuleLine(number, conditions_of(rule), effect_of(rule), count)
        )
    return lines


def _counts_of_rules(visit: visits.Visit) -> dict[str, str]:
    """Return the effects of the latest feed's rules in words, by the rule as JSON."""
    run = latest_run(visit)
    if run is None or run.config_version is None:
        return {}
    stored = visit.platform.tenants.version(visit.tenant_id, run.config_version)
    config = stored and tenants.read_stored(visit.platform, stored)
    if not config:
        return {}
    counts: dict[str, str] = {}
    summary = summary_of(run, visit.platform)
    for result in summary.get("rules") or ():
        section, _, index = result["path"].rpartition(".")
        if section == "pricing.rules":
            rule = config.pricing.rules[int(index)]
            noun, _, verb = result["did"].partition("s ")
            count = f"{words.counted(result['count'], noun)} {verb}"
            counts.setdefault(rule.model_dump_json(), count)
    return counts


def conditions_of(rule: PriceRule) -> str:
    """Return the conditions of a rule in words."""
    when = rule.when
    parts = []
    if when.vendors:
        parts.append(f"vendor {_any_of(when.vendors)}")
    if when.brands:
        parts.append(f"brand {_any_of(when.brands)}")
    if when.conditions:
        parts.append(f"condition {_any_of(when.conditions)}")
    if when.cost_from is not None:
        parts.append(f"cost from {when.cost_from:f}")
    if when.cost_below is not None:
        parts.append(f"cost below {when.cost_below:f}")
    text = ", ".join(parts) or "all other offers"
    return f"{text[:1].upper()}{text[1:]}"


def effect_of(rule: PriceRule) -> str:
    """Return the effect of a rule in words."""
    if rule.leave_out:
        return "Left out of the feed"
    if rule.margin_pct is not None:
        text = f"Margin of {wording.percent(str(rule.margin_pct))}"
    elif rule.markup is not None:
        text = f"Cost plus {rule.markup:f}"
    else:
        text = f"Fixed price of {rule.fixed_price:f}"
    if rule.min_price is not None:
        text = f"{text}, at least {rule.min_price:f}"
    return text


def _any_of(names: tuple[str, ...]) -> str:
    text = " or ".join(names[:_MAX_NAMES])
    more = len(names) - _MAX_NAMES
    return f"{text} or {more} more" if more > 0 else text


def guard_sentences(visit: visits.Visit) -> list[words.Verdict]:
    """Return what the guards said of the latest feed, in sentences."""
    sentences = []
    run = latest_run(visit)
    if run is None:
        return []
    for document in summary_of(run, visit.platform).get("guards") or ():
        result = GuardResult.of_dict(document)
        sentences.append(_guard_sentence(result))
    return sentences


def _guard_sentence(result: GuardResult) -> words.Verdict:
    counts = (
        f"{words.number(result.count)} of {words.number(result.of)} "
        f"({wording.part(result.count, result.of)})"
    )
    limit = wording.percent(result.limit)
    template = _GUARD_SENTENCES.get(
        f"{result.guard} {result.side}" if result.side else result.guard,
        "{counts} of " + result.guard.replace("_", " "),
    )
    subject = template.format(counts=counts, vendor=result.vendor_id)
    if result.tripped:
        return words.Verdict(
            "warn", f"{subject}. This is more than the limit of {limit}."
        )
    return words.Verdict("good", f"{subject}. The limit is {limit}.")


_GUARD_SENTENCES = {
    "skus_removed": "{counts} SKUs disappeared",
    "out_of_stock": "{counts} SKUs in stock went out of stock",
    "price_drop": "{counts} prices dropped",
    "price_rise": "{counts} prices rose",
    "price_level low": "{counts} prices are clearly lower than before",
    "price_level high": "{counts} prices are clearly higher than before",
    "quarantined": "{counts} new prices are in review",
    "vendor_rows": "{counts} rows of {vendor} are no longer in its file",
}
