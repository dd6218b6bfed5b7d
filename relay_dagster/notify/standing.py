"""How webhooks stand after their tries: failing since when, or disabled for want of a receiver.

Most tries say what is known already; what is new of a tenant's webhooks is noted, and written down
by and by.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from relay_dagster.audit import SYSTEM, Action
from relay_dagster.aws.cloudwatch.metrics import Metrics, report_fault
from relay_dagster.aws.dynamodb.webhook_store import WebhookStore
from relay_dagster.logs import event_log
from relay_dagster.runs.webhooks.changes import Edit, delivered, disabled, edited, failing
from relay_dagster.runs.webhooks.errors import UnknownWebhookError
from relay_dagster.runs.webhooks.model import DisabledReason, Webhook
from relay_dagster.runs.webhooks.rules import is_failing_for_good

THREADS = 8

log = event_log()


@dataclass(frozen=True, slots=True)
class _News:
    """What a try says that is not known: an edit, or that nothing is to be sent any more."""

    webhook: Webhook
    at: datetime
    edit: Edit
    reason: DisabledReason | None = None


@dataclass
class Standings:
    """Keeps what tries say of webhooks until it is written down.

    Args:
        webhooks: where they are stored.
        metrics: where it is counted that one could not be written.
    """

    webhooks: WebhookStore
    metrics: Metrics
    _news: dict[str, _News] = field(default_factory=dict)
    # Those that were found failing since they were read.
    _failing: set[str] = field(default_factory=set)

    def note_success(self, webhook: Webhook, at: datetime) -> None:
        """Note that a try has succeeded."""
        name = webhook.webhook_id
        if webhook.failing_since is not None or name in self._failing:
            self._failing.discard(name)
            self._note(_News(webhook, at, delivered))

    def note_failure(self, webhook: Webhook, at: datetime, *, is_gone: bool) -> None:
        """Note that a try has failed: for now, for too long, or for good."""
        if is_gone:
            self._note(_disabling(webhook, at, DisabledReason.GONE))
        elif is_failing_for_good(webhook, at):
            self._note(_disabling(webhook, at, DisabledReason.FAILING))
        elif webhook.failing_since is None and webhook.webhook_id not in self._failing:
            self._failing.add(webhook.webhook_id)
            self._note(_News(webhook, at, failing(at)))

    def write(self) -> int:
        """Write down what is new; return how many webhooks are disabled by that.

        What cannot be written is forgotten: the next try of the webhook says it again.
        """
        by_tenant: dict[str, list[_News]] = {}
        for news in self._news.values():
            by_tenant.setdefault(news.webhook.tenant_id, []).append(news)
        if not by_tenant:
            return 0
        self._news.clear()
        with ThreadPoolExecutor(min(THREADS, len(by_tenant))) as pool:
            return sum(pool.map(self._write_all, by_tenant.values()))

    def _note(self, news: _News) -> None:
        before = self._news.get(news.webhook.webhook_id)
        if before is None or before.reason is None:
            self._news[news.webhook.webhook_id] = news

    def _write_all(self, some: Iterable[_News]) -> int:
        """Write down the news of one tenant, one after the other: they change one item."""
        return sum(self._write_or_forget(news) for news in some)

    def _write_or_forget(self, news: _News) -> bool:
        try:
            return self._write(news)
        except Exception as error:  # noqa: BLE001 - the others must not wait for this one
            facts = {"tenant_id": news.webhook.tenant_id, "webhook_id": news.webhook.webhook_id}
            report_fault(self.metrics, "webhook_not_noted", error, **facts)
            self._failing.discard(news.webhook.webhook_id)
            return False

    def _write(self, news: _News) -> bool:
        tenant_id, webhook_id = news.webhook.tenant_id, news.webhook.webhook_id
        was_enabled = False

        def edit(webhook: Webhook) -> Webhook:
            nonlocal was_enabled
            was_enabled = webhook.enabled
            return news.edit(webhook)

        entry = None
        if news.reason is not None:
            details = {"changed": ["enabled"], "enabled": False, "reason": str(news.reason)}
            entry = SYSTEM.entry(Action.WEBHOOK_CHANGED, tenant_id, webhook_id, news.at, **details)
        try:
            self.webhooks.change(tenant_id, edited(tenant_id, webhook_id, edit), entry)
        except UnknownWebhookError:
            was_enabled = False
        if news.reason is None or not was_enabled:
            return False
        facts = {"tenant_id": tenant_id, "webhook_id": webhook_id, "reason": str(news.reason)}
        log.error("webhook_disabled", **facts)
        return True


def _disabling(webhook: Webhook, at: datetime, reason: DisabledReason) -> _News:
    """Return the news that a webhook is to be disabled, where it leads where it led."""

    def edit(now: Webhook) -> Webhook:
        has_moved = now.url != webhook.url
        return now if has_moved else disabled(reason)(now)

    return _News(webhook, at, edit, reason)
