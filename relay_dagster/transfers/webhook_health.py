"""The health of tenants' webhooks: noted after each try, and what disables a webhook.

A webhook is disabled at once if its receiver says that it is gone, and after five days
of nothing but failures.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay_dagster.aws.dynamodb.webhook_store import WebhookStore
from relay_dagster.aws.metrics import Metrics, report_fault
from relay_dagster.logs import event_log
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry
from relay_dagster.webhooks import changes
from relay_dagster.webhooks.model import (
    DeliveryAttempt,
    DisabledReason,
    Webhook,
)
from relay_dagster.webhooks.webhook_schedule import is_failing_for_good

RECENTLY = timedelta(minutes=1)
"""If a webhook is read without a failure so long after one was noted, somebody has
changed it, and its failures count again."""
log = event_log()


@dataclass
class EndpointHealth:
    """Keeps webhooks up to date with their tries; used by many threads."""

    webhooks: WebhookStore  # where webhooks are stored
    metrics: Metrics  # counts the notes that could not be stored
    # The times at which failures were noted since their webhooks were last read.
    _failing: dict[str, datetime] = field(default_factory=dict)

    def note(self, webhook: Webhook, attempt: DeliveryAttempt) -> bool:
        """Note a try, and return True if that disables the webhook.

        A note that cannot be stored is reported; the next try makes it again.
        """
        try:
            return self._note(webhook, attempt)
        except Exception as error:  # noqa: BLE001 - the result of the try matters more
            facts = log_facts(webhook)
            report_fault(self.metrics, "webhook_not_noted", error, **facts)
            self._failing.pop(webhook.webhook_id, None)
            return False

    def _note(self, webhook: Webhook, attempt: DeliveryAttempt) -> bool:
        noted_at = self._failing.get(webhook.webhook_id)
        if attempt.error is None:
            self._failing.pop(webhook.webhook_id, None)
            if webhook.failing_since or noted_at:
                self._change(webhook, changes.delivered)
            return False
        if attempt.is_gone:
            return self._disable(webhook, attempt, DisabledReason.GONE)
        if is_failing_for_good(webhook, attempt.at):
            return self._disable(webhook, attempt, DisabledReason.FAILING)
        is_noted = noted_at is not None and attempt.at < noted_at + RECENTLY
        if webhook.failing_since is None and not is_noted:
            self._failing[webhook.webhook_id] = attempt.at
            self._change(webhook, changes.failing(attempt.at))
        return False

    def _disable(
        self, webhook: Webhook, attempt: DeliveryAttempt, reason: DisabledReason
    ) -> bool:
        """Disable a webhook, unless it was changed in the meantime; return True if it was us."""
        has_disabled = False

        def edit(stored: Webhook) -> Webhook:
            nonlocal has_disabled
            counts_anew = (
                stored.failing_since is None
                and reason is DisabledReason.FAILING
            )
            has_disabled = (
                stored.enabled and stored.url == webhook.url and not counts_anew
            )
            return changes.disabled(reason)(stored) if has_disabled else stored

        entry = SYSTEM.entry(
            Action.WEBHOOK_CHANGED,
            webhook.tenant_id,
            webhook.webhook_id,
            attempt.at,
            changed=["enabled"],
            enabled=False,
            reason=str(reason),
        )
        is_there = self._change(webhook, edit, entry)
        if not is_there or not has_disabled:
            return False
        log.error("webhook_disabled", reason=str(reason), **log_facts(webhook))
        return True

    def _change(
        self,
        webhook: Webhook,
        edit: changes.Edit,
        entry: AuditEntry | None = None,
    ) -> bool:
        """Change the stored webhook; return False if it was deleted."""
        rule = changes.edited(webhook.tenant_id, webhook.webhook_id, edit)
        try:
            self.webhooks.change(webhook.tenant_id, rule, entry)
        except changes.UnknownWebhookError:
            return False
        return True


def log_facts(webhook: Webhook, **facts: str) -> dict[str, str]:
    """Return what the log says of a webhook."""
    return {
        "tenant_id": webhook.tenant_id,
        "webhook_id": webhook.webhook_id,
        **facts,
    }
