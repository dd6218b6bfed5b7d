"""The limits of callers that are the same everywhere; those that are settings: ``settings.py``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """What callers may do to one process of the API; of each limit what is over it."""

    connections: int = 512  # open at once; 503 `TOO_MANY_CONNECTIONS`, closed
    head_bytes: int = 64 << 10  # of a request's line and headers; 431 `HEAD_TOO_LARGE`, closed
    head_seconds: float = 10  # for a request's head to come; 408 `REQUEST_TIMEOUT`, closed
    # For its body to come (408, closed), and for more of its answer to be taken (closed)
    body_seconds: float = 30
    body_values: int = 20_000  # of a body that is no config; 422
    # Requests of a tenant at once, ten times as many of an admin; 429 `RATE_LIMITED`
    burst: int = 100
    at_work: int = 4  # requests of a tenant that are not answered yet; 429 `RATE_LIMITED`
    # From one address (of IPv6, one /64); 429 `RATE_LIMITED` for keys that the process has not
    # found good within the last hour and that are no admin's
    wrong_keys_per_minute: int = 30
    # By the clock, of `config:check` or of `explain`; 422 `CHECK_TOO_SLOW`, `EXPLAIN_TOO_SLOW`
    task_seconds: float = 10
    task_cpu_seconds: float = 5  # of the processor, by all of its processes; 422 as before
    task_bytes: int = 512 << 20  # of memory, of each of its processes; 422 as before
    # Checks and explanations at once, one of a tenant; 503 `CHECKS_BUSY`, `EXPLANATIONS_BUSY`
    tasks: int = 2
    link_checks_waiting: int = 4  # of suppliers, for a slot at once; 503 `CHECKS_BUSY`
    webhook_tests_per_minute: int = 10  # of a tenant's webhooks; 429 `RATE_LIMITED`
    ready_seconds: float = 2  # that an answer of `GET /v1/ready` stands before AWS is asked again
    link_reads_per_minute: int = 60  # of one link to a feed; 429 `RATE_LIMITED`
    supplier_requests_per_minute: int = 30  # of one supplier's link; 429 `RATE_LIMITED`
    supplier_checks_per_hour: int = 20  # of one supplier's link; 429 `RATE_LIMITED`
    # Of one supplier's link and UTC clock hour; no form is shown then
    supplier_uploads_per_hour: int = 20
    link_readers: int = 4  # of one link at once; 503 `FEED_LINKS_BUSY`
    link_readers_in_all: int = 32  # of all links of a process at once; 503 `FEED_LINKS_BUSY`
    answer_bytes: int = 1 << 20  # of an answer; a list ends early, with a `next_cursor`


DEFAULT_API_LIMITS = ApiLimits()
