"""Acceptance of a feed by a run, as far as its check can tell."""

from relay_core.config import TenantConfig, VendorConfig
from relay_core.onboarding.check_results import FeedCheck, Reading
from relay_core.validation.error_policy import judge_policy, own_share_faults


def is_right(check: FeedCheck, vendor: VendorConfig, config: TenantConfig) -> bool:
    """Return whether a feed has nothing that a run would fail for, or that a patch would mend."""
    found = check.as_sent
    is_read = found.is_usable and found.rows > 0
    return is_read and not (check.changes or check.unknown or limits_passed(found, vendor, config))


def limits_passed(reading: Reading, vendor: VendorConfig, config: TenantConfig) -> list[str]:
    """Return which limits of refused rows a reading passes, as if its rows were all of the run."""
    refused, rows = [reading.refused_rows], [reading.rows]
    verdict = judge_policy(config.error_policy, refused, rows).message
    shares = [each.error_message for each in own_share_faults([vendor], refused, rows)]
    return [*shares, *([verdict] if verdict else [])]
