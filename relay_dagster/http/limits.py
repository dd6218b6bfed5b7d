"""The limits of callers that no setting changes; ``settings.py`` has the others."""

from dataclasses import dataclass

from relay_dagster.triggers.link_uploads import UPLOADS_PER_HOUR


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """The limits of callers of one process of the API.

    docs/LIMITS.md is made of the following lines.

    Attributes:
        connections: Open connections. More are answered with 503 `TOO_MANY_CONNECTIONS` and
            closed.
        head_bytes: Bytes of a request's line and headers. A longer head is answered with 431
            `HEAD_TOO_LARGE`, and the connection is closed.
        head_lines: Lines of a request's head. A longer head is answered with 431
            `HEAD_TOO_LARGE`, and the connection is closed.
        head_seconds: Seconds until a request's head must have arrived. A later one is answered
            with 408 `REQUEST_TIMEOUT`, and the connection is closed.
        body_seconds: Seconds until a request's body must have arrived. A later one is answered
            with 408 `REQUEST_TIMEOUT`, and the connection is closed.
        reader_bytes: Bytes that a client must read of a long response in each period of
            `body_seconds`. The connection of a slower client is closed, and so is one on
            which the end of a response stays unread for that time.
        query_fields: Fields of a URL's query. More are rejected with 431 `HEAD_TOO_LARGE`.
        sign_in_bytes: Bytes of the sign-in form. A longer one is rejected with 413
            `PAYLOAD_TOO_LARGE`.
        form_bytes: Bytes of any other form of the pages. A longer one is rejected with 413
            `PAYLOAD_TOO_LARGE`.
        accept_form_bytes: Bytes of the form that accepts prices. A longer one is rejected
            with 413 `PAYLOAD_TOO_LARGE`.
        form_fields: Fields of a form. More are rejected with 413 `PAYLOAD_TOO_LARGE`.
        body_values: Values of a body other than a config. More are rejected with 422.
        burst: Requests of a tenant at once; an admin may send ten times as many. More are
            rejected with 429 `RATE_LIMITED`.
        at_work: Requests of a tenant that are being handled. More are rejected with 429
            `RATE_LIMITED`.
        wrong_keys_per_minute: Wrong keys from one address, or from one /64 network of IPv6, in
            a minute. After that, 429 `RATE_LIMITED` rejects every key except admins' keys and
            keys that this process has accepted within the last hour. Wrong links and cookies
            of sessions have a count of their own with the same limit.
        task_seconds: Seconds for a `config:check` or an `explain`. A longer one ends with 422
            `CHECK_TOO_SLOW` or `EXPLAIN_TOO_SLOW`.
        task_cpu_seconds: Seconds of processor time for all processes of a check or an
            explanation. A longer one ends with the same 422.
        task_bytes: Bytes of memory for each process of a check or an explanation. One that
            needs more ends with the same 422.
        tasks: Checks and explanations at once. A tenant may have one. More are rejected with
            503 `CHECKS_BUSY` or `EXPLANATIONS_BUSY`.
        link_checks_waiting: Checks of suppliers that wait for their turn, at most one per
            tenant. More are rejected with 503 `CHECKS_BUSY`.
        link_check_patience_seconds: Seconds for which a supplier's check lets checks and
            explanations by keys go first. After that, the next free place is the supplier's.
        webhook_tests_per_minute: Tests of a tenant's webhooks in a minute. More are rejected
            with 429 `RATE_LIMITED`.
        ready_seconds: Seconds until `GET /v1/ready` asks AWS again. Until then, it returns the
            same response.
        link_reads_per_minute: Requests with a link to a feed in a minute. More are rejected
            with 429 `RATE_LIMITED`.
        supplier_requests_per_minute: Requests with a supplier's link in a minute. More are
            rejected with 429 `RATE_LIMITED`.
        supplier_checks_per_hour: Checks with a supplier's link in an hour. More are rejected
            with 429 `RATE_LIMITED`.
        supplier_uploads_per_hour: Files that arrive by a supplier's link in an hour of the UTC
            clock. After that, the page shows no form, and further files start no run.
        link_readers: Downloads with one link at the same time. More are rejected with 503
            `FEED_LINKS_BUSY`.
        link_readers_of_tenant: Downloads with all links of a tenant at the same time. More are
            rejected with 503 `FEED_LINKS_BUSY`.
        link_readers_in_all: Downloads with all links of a process at the same time. More are
            rejected with 503 `FEED_LINKS_BUSY`.
        answer_bytes: Bytes of a response. A list that is longer ends early and has a
            `next_cursor`.
    """

    connections: int = 512
    head_bytes: int = 64 << 10
    head_lines: int = 1000
    head_seconds: float = 10
    body_seconds: float = 30
    reader_bytes: int = 256 << 10
    query_fields: int = 1100
    sign_in_bytes: int = 8 << 10
    form_bytes: int = 64 << 10
    accept_form_bytes: int = 1 << 20
    form_fields: int = 1100
    body_values: int = 20_000
    burst: int = 100
    at_work: int = 4
    wrong_keys_per_minute: int = 30
    task_seconds: float = 10
    task_cpu_seconds: float = 5
    task_bytes: int = 512 << 20
    tasks: int = 2
    link_checks_waiting: int = 4
    link_check_patience_seconds: float = 10
    webhook_tests_per_minute: int = 10
    ready_seconds: float = 2
    link_reads_per_minute: int = 60
    supplier_requests_per_minute: int = 30
    supplier_checks_per_hour: int = 20
    supplier_uploads_per_hour: int = UPLOADS_PER_HOUR
    link_readers: int = 4
    link_readers_of_tenant: int = 8
    link_readers_in_all: int = 32
    answer_bytes: int = 1 << 20


DEFAULT_API_LIMITS = ApiLimits()
