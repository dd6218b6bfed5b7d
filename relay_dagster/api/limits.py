"""The limits of callers that no setting changes; ``settings.py`` has the others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """The limits of callers of one process of the API.

    docs/LIMITS.md is made of the following lines.

    Attributes:
        connections: open at once; 503 `TOO_MANY_CONNECTIONS`, closed.
        head_bytes: of a request's line and headers; 431 `HEAD_TOO_LARGE`, closed.
        head_seconds: for a request's head to come; 408 `REQUEST_TIMEOUT`, closed.
        body_seconds: for its body to come (408, closed), and for more of its answer to
            be taken (closed).
        body_values: of a body that is no config; 422.
        burst: requests of a tenant at once, ten times as many of an admin; 429
            `RATE_LIMITED`.
        at_work: requests of a tenant that are not answered yet; 429 `RATE_LIMITED`.
        wrong_keys_per_minute: from one address (of IPv6, one /64); 429 `RATE_LIMITED`
            for keys that the process has not found good within the last hour and that
            are no admin's.
        task_seconds: by the clock, of `config:check` or of `explain`; 422
            `CHECK_TOO_SLOW`, `EXPLAIN_TOO_SLOW`.
        task_cpu_seconds: of the processor, by all of its processes; 422 as before.
        task_bytes: of memory, of each of its processes; 422 as before.
        tasks: checks and explanations at once, one of a tenant; 503 `CHECKS_BUSY`,
            `EXPLANATIONS_BUSY`.
        link_checks_waiting: of suppliers, for a slot at once; 503 `CHECKS_BUSY`.
        webhook_tests_per_minute: of a tenant's webhooks; 429 `RATE_LIMITED`.
        ready_seconds: that an answer of `GET /v1/ready` stands before AWS is asked
            again.
        link_reads_per_minute: of one link to a feed; 429 `RATE_LIMITED`.
        supplier_requests_per_minute: of one supplier's link; 429 `RATE_LIMITED`.
        supplier_checks_per_hour: of one supplier's link; 429 `RATE_LIMITED`.
        supplier_uploads_per_hour: of one supplier's link and UTC clock hour; no form is
            shown then.
        link_readers: of one link at once; 503 `FEED_LINKS_BUSY`.
        link_readers_in_all: of all links of a process at once; 503 `FEED_LINKS_BUSY`.
        answer_bytes: of an answer; a list ends early, with a `next_cursor`.
    """

    connections: int = 512
    head_bytes: int = 64 << 10
    head_seconds: float = 10
    body_seconds: float = 30
    body_values: int = 20_000
    burst: int = 100
    at_work: int = 4
    wrong_keys_per_minute: int = 30
    task_seconds: float = 10
    task_cpu_seconds: float = 5
    task_bytes: int = 512 << 20
    tasks: int = 2
    link_checks_waiting: int = 4
    webhook_tests_per_minute: int = 10
    ready_seconds: float = 2
    link_reads_per_minute: int = 60
    supplier_requests_per_minute: int = 30
    supplier_checks_per_hour: int = 20
    supplier_uploads_per_hour: int = 20
    link_readers: int = 4
    link_readers_in_all: int = 32
    answer_bytes: int = 1 << 20


DEFAULT_API_LIMITS = ApiLimits()
