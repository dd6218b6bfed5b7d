"""Doubts of a config: what is valid and probably not meant, told without its rows.

They load no frames: the API's own process asks for them, too.
"""

from collections.abc import Iterable, Iterator
from decimal import ROUND_UP, Decimal

from relay_core.config import TenantConfig
from relay_core.config.lint import lint_warnings, plain
from relay_core.domain.cell_rules import cut
from relay_core.domain.errors import ConfigFault
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import Doubt

MAX_SAMPLES = 5


def config_doubts(
    config: TenantConfig, *, is_published: bool = True, is_local: bool = False
) -> list[Doubt]:
    """Return the doubts of a config; those of its rules last.

    Args:
        config: the tenant's.
        is_published: whether the tenant has a feed that a run is compared with.
        is_local: whether its feeds are files of this machine, which is nothing doubtful then.
    """
    of_margins = list(margin_doubts(config))
    high = {doubt.path for doubt in of_margins}
    lint = lint_warnings(config, is_published=is_published)
    return [
        *of_margins,
        *(
            of_config(fault)
            for fault in lint
            if fault.path not in high and not (is_local and fault.path.endswith(".inbound.type"))
        ),
    ]


def margin_doubts(config: TenantConfig) -> Iterator[Doubt]:
    """Yield the doubt of each margin over 100 %."""
    margins = [("pricing.base_margin_pct", config.pricing.base_margin_pct)]
    margins += [
        (f"pricing.rules.{place}.margin_pct", rule.margin_pct)
        for place, rule in enumerate(config.pricing.rules)
        if rule.margin_pct is not None
    ]
    for path, margin in margins:
        if margin > 1:
            share = f"{plain(margin / 100)} is {plain(margin)} %"
            means = f"{plain(margin)} means {plain(margin * 100)} %; {share}"
            yield Doubt("margin_over_one", path, None, None, None, means)


def of_config(fault: ConfigFault) -> Doubt:
    """Return a lint warning as a doubt."""
    return Doubt("config", fault.path, None, None, None, fault.message)


def policy_doubts(
    config: TenantConfig, refused: int, total: int, samples: Iterable[str]
) -> Iterator[Doubt]:
    """Yield the doubt that limits of 0 fail a run for rows that are refused, if it is one."""
    policy = config.error_policy
    if not refused or (policy.max_invalid_rows and policy.max_invalid_row_pct):
        return
    share = (Decimal(refused) / total).quantize(Decimal("0.0001"), ROUND_UP)
    yield Doubt(
        "error_policy_zero",
        "error_policy",
        None,
        refused,
        first_samples(samples),
        f"{refused:,} of {total:,} rows are refused, and with a limit of 0 one is enough to fail a "
        f"run; have them put right, or set max_invalid_rows to {refused} or more and "
        f"max_invalid_row_pct to {share.normalize():f} or more",
    )


def first_samples(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the first texts that differ, each cut where it is long."""
    found: dict[str, None] = {}
    for text in texts:
        found[cut_sample(text)] = None
        if len(found) == MAX_SAMPLES:
            break
    return tuple(found)


def cut_sample(text: str) -> str:
    """Return a text as a sample shows it."""
    return cut(text, MAX_QUOTED)
