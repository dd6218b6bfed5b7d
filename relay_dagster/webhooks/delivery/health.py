"""The health of endpoints: a webhook fails since an instant, or is disabled.

Most tries say what is known already; the others change the webhook that is stored.
"""

from dataclasses import dataclass, field

from relay_dagster.aws.dynamodb.webhook_store import WebhookStore
from relay_dagster.aws.metrics import Metrics, report_fault
from relay_dagster.logs import event_log
from relay_dagster.tenants.audit import SYSTEM, Action
from relay_dagster.webhooks.changes import (
    Edit,
    UnknownWebhookError,
    delivered,
    disabled,
    edited,
    failing,
)
from relay_dagster.webhooks.model import Attempt, DisabledReason, Webhook
from relay_dagster.webhooks.webhook_schedule import is_failing_for_good

log = event_log()


@dataclass
class EndpointHealth:
    """Keeps webhooks up to date with their tries; shared by threads."""

    webhooks: WebhookStore  # where webhooks are stored
    metrics: Metrics  # where it is counted that one could not be stored
    # Webhooks that were found failing since they were read.
    _failing: set[str] = field(default_factory=set)

    def note(self, webhook: Webhook, attempt: Attempt) -> bool:
        """Note a try with its webhook; return whether that is disabled by it.

        A change that cannot be stored is forgotten: the next try leads to it again.
        """
        try:
            if attempt.error is None:
                if webhook.failing_since is not None or webhook.webhook_id in self._failing:
                    self._failing.discard(webhook.webhook_id)
                    self._change(webhook, attempt, delivered)
                return False
            if attempt.is_gone:
                return self._disable(webhook, attempt, DisabledReason.GONE)
            if is_failing_for_good(webhook, attempt.at):
                return self._disable(webhook, attempt, DisabledReason.FAILING)
            if webhook.failing_since is None and webhook.webhook_id not in self._failing:
                self._failing.add(webhook.webhook_id)
                self._change(webhook, attempt, failing(attempt.at))
            return False
        except Exception as error:  # noqa: BLE001 - the result of the try matters more
            facts = {"tenant_id": webhook.tenant_id, "webhook_id": webhook.webhook_id}
            report_fault(self.metrics, "webhook_not_noted", error, **facts)
            self._failing.discard(webhook.webhook_id)
            return False

    def _disable(self, webhook: Webhook, attempt: Attempt, reason: DisabledReason) -> bool:
        """Disable a webhook, unless it has moved or was disabled meanwhile."""
        is_ours = False

        def edit(now: Webhook) -> Webhook:
            nonlocal is_ours
            is_ours = now.enabled and now.url == webhook.url
            return disabled(reason)(now) if is_ours else now

        if not self._change(webhook, attempt, edit, reason) or not is_ours:
            return False
        facts = {"tenant_id": webhook.tenant_id, "webhook_id": webhook.webhook_id}
        log.error("webhook_disabled", reason=str(reason), **facts)
        return True

    def _change(
        self, webhook: Webhook, attempt: Attempt, edit: Edit, reason: DisabledReason | None = None
    ) -> bool:
        """Change the webhook that is stored; return False where there is none any more."""
        tenant_id, webhook_id = webhook.tenant_id, webhook.webhook_id
        entry = None
        if reason is not None:
            details = {"changed": ["enabled"], "enabled": False, "reason": str(reason)}
            changed = Action.WEBHOOK_CHANGED
            entry = SYSTEM.entry(changed, tenant_id, webhook_id, attempt.at, **details)
        try:
            self.webhooks.change(tenant_id, edited(tenant_id, webhook_id, edit), entry)
        except UnknownWebhookError:
            return False
        return True
