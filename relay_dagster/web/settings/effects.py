"""The effects of settings in the latest feed, in sentences."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from relay_core.config import PriceRule, PricingConfig, TenantConfig
from relay_core.config.models import (
    GuardsConfig,
    PriceLevelConfig,
    QuarantineConfig,
)
from relay_core.domain.errors import RelayError, SkuNotFoundError
from relay_core.domain.records import GuardResult
from relay_core.report import display
from relay_dagster.http.problems import ProblemError, problem_of
from relay_dagster.runs.model import RunRecord
from relay_dagster.services import tenants
from relay_dagster.services.explanations import explain_sku
from relay_dagster.services.runs import summary_of
from relay_dagster.web import error_words, visits, words
from relay_dagster.wire.skus import PriceStep

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


def config_of(visit: visits.Visit, run: RunRecord) -> TenantConfig | None:
    """Return the config of a run, or None if it is no longer stored."""
    if run.config_version is None:
        return None
    stored = visit.platform.tenants.version(visit.tenant_id, run.config_version)
    return (
        None if stored is None else tenants.read_stored(visit.platform, stored)
    )


# --- price rules --------------------------------------------------------------------


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
    config = None if run is None else config_of(visit, run)
    if run is None or config is None:
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
        text = f"Margin of {display.percent(str(rule.margin_pct))}"
    elif rule.markup is not None:
        text = f"Cost plus {rule.markup:f}"
    else:
        text = f"Fixed price of {rule.fixed_price:f}"
    if rule.min_price is not None:
        text = f"{text}, at least {rule.min_price:f}"
    return text


def _any_of(names: tuple[str, ...]) -> str:
    text = " or ".join(names[:_MAX_NAMES])
    rest = len(names) - _MAX_NAMES
    return f"{text} or {rest} more" if rest > 0 else text


# --- guards -------------------------------------------------------------------------


def guard_sentences(visit: visits.Visit) -> list[words.Verdict]:
    """Return the limits of the guards, and their results in the latest feed."""
    run = latest_run(visit)
    if run is None:
        return []
    config = config_of(visit, run)
    guards = GuardsConfig() if config is None else config.guards
    results = [
        GuardResult.of_dict(document)
        for document in summary_of(run, visit.platform).get("guards") or ()
    ]
    sentences = [_guard_sentence(result, guards) for result in results]
    if guards.quarantine is None:
        sentences += _review_sentences(results, guards)
    return sentences


def _guard_sentence(result: GuardResult, guards: GuardsConfig) -> words.Verdict:
    """Return the limit of a guard, and its result in the latest feed."""
    name = f"{result.guard} {result.side}" if result.side else result.guard
    template = _GUARD_SENTENCES.get(name, "{counts} counted.")
    level = guards.price_level or PriceLevelConfig()
    text = template.format(
        counts=f"{words.number(result.count)} of {words.number(result.of)}",
        limit=display.percent(result.limit),
        drop=display.percent(str(guards.price_drop_pct or 0)),
        rise=display.percent(str(guards.price_rise_pct or 0)),
        low=display.percent(str(level.low)),
        high=display.percent(str(level.high)),
        least=words.number(guards.min_price_jumps),
        vendor=result.vendor_id,
    )
    if result.tripped:
        return words.Verdict("warn", f"{text} That was more than allowed.")
    return words.Verdict("good", text)


def _review_sentences(
    results: Sequence[GuardResult], guards: GuardsConfig
) -> Iterator[words.Verdict]:
    """Yield what a review of single prices would have done with the latest feed.

    The guards have counted it if their limits are those that a review begins with.
    """
    review = QuarantineConfig()
    limits = (guards.price_drop_pct, guards.price_rise_pct)
    moves = [
        result
        for result in results
        if result.guard in ("price_drop", "price_rise")
    ]
    if limits == (review.price_drop_pct, review.price_rise_pct) and moves:
        count = sum(result.count for result in moves)
        yield words.Verdict(
            "idle",
            f"Single prices are not reviewed. With a review, {words.number(count)} of "
            f"{words.number(moves[0].of)} SKUs of your latest feed would have kept "
            "their price until you decide.",
        )


_GUARD_SENTENCES = {
    "skus_removed": "At most {limit} of the SKUs may disappear. In your latest feed, "
    "{counts} SKUs did.",
    "out_of_stock": "At most {limit} of the SKUs in stock may go out of stock. In your "
    "latest feed, {counts} did.",
    "price_drop": "A price may fall by at most {drop} from one feed to the next. In your "
    "latest feed, {counts} prices fell by more; at least {least}, and more than {limit}, "
    "put a feed on hold.",
    "price_rise": "A price may grow by at most {rise} from one feed to the next. In your "
    "latest feed, {counts} prices grew by more; at least {least}, and more than {limit}, "
    "put a feed on hold.",
    "price_level low": "At most half of the prices may be below {low} of the old price. "
    "In your latest feed, {counts} were.",
    "price_level high": "At most half of the prices may be above {high} of the old "
    "price. In your latest feed, {counts} were.",
    "quarantined": "At most {limit} of the new prices may be in review. In your latest "
    "feed, {counts} were.",
    "vendor_rows": "{vendor} may lose at most {limit} of its rows. In your latest feed, "
    "it lost {counts} rows.",
}


# --- a trial ------------------------------------------------------------------------


class Trial(NamedTuple):
    """The price of one SKU of the latest feed with other settings."""

    sku: str
    error: str = ""
    before: str = ""  # the price in the latest feed
    after: str = ""  # the price with the settings; "" if the SKU gets none
    steps: Sequence[PriceStep] = ()


def trial_of(visit: visits.Visit, pricing: PricingConfig, sku: str) -> Trial:
    """Return the price that a SKU of the latest feed has with some settings."""
    run = latest_run(visit)
    if run is None:
        return Trial(sku, "You don't have a feed yet. Start a run first.")
    try:
        before = explain_sku(run.run_id, visit, sku)
        after = explain_sku(run.run_id, visit, sku, pricing)
    except SkuNotFoundError:
        return Trial(sku, "No vendor's file has this SKU. Check the spelling.")
    except (RelayError, ProblemError) as error:
        problem = error_words.page_error(problem_of(error))
        return Trial(sku, f"{problem.title}. {problem.text}")
    return Trial(
        sku,
        before=_last_amount(before.price_steps),
        after=_last_amount(after.price_steps),
        steps=after.price_steps or (),
    )


def _last_amount(steps: Sequence[PriceStep] | None) -> str:
    return steps[-1].after if steps else ""
