"""The stored state of a delivery, and the work that each publication leaves.

Pure: no clock, no AWS, no network. Each delivery of a config has one item: the
publication that it is to send next, and the one that it sent last. Its lease in the
queue of work, `relay_dagster.work`, lets only one process at a time send for it.
"""

from dataclasses import dataclass
from datetime import datetime

from relay_dagster.feeds.pointer import Publication


@dataclass(frozen=True, slots=True)
class PublicationMark:
    """The marks that tell a publication from every other one of its tenant."""

    run_id: str  # the run that made the feed
    seq: int  # the number of the publication; a later one has a greater number
    published_at: datetime  # aware

    @classmethod
    def of(cls, publication: Publication) -> "PublicationMark":
        """Return the marks of a publication."""
        return cls(
            publication.run_id, publication.seq, publication.published_at
        )


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that a server has under its name."""

    publication: PublicationMark
    source: str  # the digest of the entry that it was sent for
    key: str  # the S3 key of the published copy, whole, that it was made from
    what: str  # ``feed`` or ``changes``
    rows: int | None  # its number of rows; None if it was never counted
    # When somebody asked for it; None if its publication made it due
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryState:
    """The state of a delivery. Instants are aware, UTC.

    ``source`` is the digest of the config's entry for which ``pending`` is to be sent,
    and ``host`` the host that it leads to. ``asked_at`` is when somebody asked for the
    whole live feed. ``tries`` are those of the pending publication. ``tried_seq`` is the
    publication that a process is sending, and ``doubtful_seqs`` are those that the
    server may have without our knowledge. ``delivered`` is the file that it has for
    certain, and ``last_whole_at`` the time of the last whole file. ``failures`` are those
    since the last success, and ``is_reported`` tells whether an event was made of them.
    ``due_at`` is the time of the next try.
    """

    tenant_id: str
    delivery_id: str
    source: str = ""
    host: str = ""
    pending: PublicationMark | None = None
    asked_at: datetime | None = None
    tries: int = 0
    tried_seq: int | None = None
    doubtful_seqs: tuple[int, ...] = ()
    delivered: SentFile | None = None
    last_delivered_at: datetime | None = None
    last_whole_at: datetime | None = None
    last_error: str | None = None
    failures: int = 0
    is_reported: bool = False
    due_at: datetime | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPlan:
    """A tenant with a publication that its deliveries have not been asked to send yet."""

    tenant_id: str
    due_at: datetime | None = None
    revision: int = 0
