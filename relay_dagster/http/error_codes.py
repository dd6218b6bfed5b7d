"""The table of the API's error codes: each code's status, and its words for each reader.

Problem documents, the OpenAPI document, docs/API.md and the pages' errors are made from
this table.
"""

import http
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

PROBLEM_TYPE = "application/problem+json"
INVALID_REQUEST = "INVALID_REQUEST"
INTERNAL_ERROR = "INTERNAL_ERROR"
DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"


class PageText(NamedTuple):
    """The title and the text of a page that shows an error."""

    title: str
    text: str = ""  # "" for the sentence of the problem


_NOT_FOUND = PageText(
    "Page not found",
    "Check the address, or go to the overview.",
)
_TRY_AGAIN = "Try again in a few seconds."


@dataclass(frozen=True, slots=True)
class Code:
    """An error code of the API."""

    status: int  # the status of the response
    meaning: str  # the meaning, for people
    # The seconds until the same request may succeed. None if it will not succeed, or if
    # only the response knows, as for a quota.
    retry_after: int | None = None
    # The words for people on the pages; None for the title of the status, and the
    # sentence of the problem.
    page: PageText | None = None


CODES: Mapping[str, Code] = {
    "UNAUTHENTICATED": Code(
        401,
        "the key in X-API-Key is missing, unknown, or expired, or its tenant "
        "is being deleted",
    ),
    "FORBIDDEN": Code(
        403,
        "the call requires an admin key",
        page=PageText(
            "The form was not accepted",
            "The form is no longer valid, or another site sent it. Open the page again, "
            "and submit the form from there.",
        ),
    ),
    "SCOPE_MISSING": Code(
        403, "the key lacks a scope that the call requires; detail names it"
    ),
    "NOT_FOUND": Code(
        404,
        "the path does not exist",
        page=_NOT_FOUND,
    ),
    "TENANT_NOT_FOUND": Code(
        404,
        "the tenant has no config, or the key has no access to it",
        page=_NOT_FOUND,
    ),
    "CONFIG_VERSION_NOT_FOUND": Code(
        404, "the tenant has no config of this version"
    ),
    "RUN_NOT_FOUND": Code(
        404,
        "the run does not exist, or the key has no access to it",
        page=_NOT_FOUND,
    ),
    "SKU_NOT_FOUND": Code(404, "no row of the run has this SKU"),
    "SKU_NOT_QUARANTINED": Code(
        404,
        "the run did not keep the published price of the SKU",
        page=PageText(
            "Price not found",
            "At least one of the SKUs has no price to review in this run, so no price was "
            "accepted.",
        ),
    ),
    "DELETION_NOT_FOUND": Code(
        404, "the tenant is not being deleted and was not deleted"
    ),
    "FEED_NOT_FOUND": Code(
        404,
        "the tenant has no feed, because no run of all vendors has succeeded yet",
    ),
    "API_KEY_NOT_FOUND": Code(404, "the tenant has no key with this ID"),
    "SECRET_NOT_FOUND": Code(404, "the tenant has no secret with this name"),
    "LINK_NOT_FOUND": Code(404, "the tenant has no link with this ID"),
    "SESSION_NOT_FOUND": Code(
        404, "the tenant has no open session with this ID"
    ),
    "DELIVERY_NOT_FOUND": Code(404, "the config has no delivery with this ID"),
    "WEBHOOK_NOT_FOUND": Code(404, "the tenant has no webhook with this ID"),
    "METHOD_NOT_ALLOWED": Code(
        405,
        "the path does not support this method; the header Allow lists the others",
    ),
    "REQUEST_TIMEOUT": Code(
        408, "the request did not arrive in time; the connection is closed"
    ),
    "TENANT_EXISTS": Code(
        409,
        "the tenant, or one whose ID differs only in letter case, has a "
        "config; store the next version",
    ),
    "TENANT_ALREADY_RUNNING": Code(
        409,
        "the tenant has a run that has not ended; its ID is active_run_id",
        page=PageText(
            "Another run is in progress",
            "Wait until it ends, or cancel it. Then try again.",
        ),
    ),
    "NO_VENDORS": Code(
        409,
        "the tenant's config has no vendors, so there is nothing to run",
        page=PageText(
            "There are no vendors yet",
            "Add a vendor and upload its file. Then start a run.",
        ),
    ),
    "TENANT_CLOSING": Code(
        409,
        "the tenant is being deleted; restore it, or wait until it is deleted",
        page=PageText(
            "Your account is being deleted",
            "You can no longer start runs or save changes. Contact your administrator if "
            "this is a mistake.",
        ),
    ),
    "RESTORE_TOO_LATE": Code(409, "the time to restore the tenant has passed"),
    "RUN_ALREADY_FINISHED": Code(
        409,
        "the run has already ended",
        page=PageText(
            "The run has already ended", "Open the run again to see its result."
        ),
    ),
    "RUN_NOT_HELD": Code(
        409,
        "the run's feed is not on hold",
        page=PageText(
            "The feed is no longer on hold",
            "Someone released or discarded it, or a newer feed replaced it. Open the run "
            "again to see its status.",
        ),
    ),
    "FEED_NOT_KEPT": Code(
        409,
        "the feed is not one of the tenant's last publications, or its file "
        "was deleted",
        page=PageText(
            "The feed is no longer kept",
            "Nothing was published. Choose another feed under Earlier feeds.",
        ),
    ),
    "RUN_NOT_MERGED": Code(
        409,
        "the run has neither published its feed nor put it on hold",
        page=PageText(
            "The run has no feed",
            "Choose a run that published a feed or that has a feed on hold.",
        ),
    ),
    "NO_PULL": Code(
        409, "the config does not have this vendor, or does not pull its file"
    ),
    "SECRET_QUOTA_EXCEEDED": Code(
        409, "the tenant has reached the maximum of 50 secrets"
    ),
    "LINK_QUOTA_EXCEEDED": Code(
        409,
        "the tenant has reached the maximum of 200 links, or of 20 links to its feed "
        "or for one vendor",
    ),
    "OVERRIDE_QUOTA_EXCEEDED": Code(
        409,
        "the tenant would exceed the maximum of 10,000 overrides",
        page=PageText(
            "Too many overrides",
            "Remove overrides that you no longer need, and try again.",
        ),
    ),
    "PUBLIC_URL_MISSING": Code(
        409, "links require RELAY_PUBLIC_URL in the environment of the API"
    ),
    "WEBHOOK_QUOTA_EXCEEDED": Code(
        409, "the tenant has reached the maximum of 10 webhooks"
    ),
    "KEY_QUOTA_EXCEEDED": Code(
        409, "the tenant has reached the maximum of 50 keys"
    ),
    "WEBHOOK_DISABLED": Code(409, "the webhook is disabled; enable it first"),
    "ARTIFACTS_EXPIRED": Code(
        410,
        "files of the run that the response needs were deleted",
        page=PageText(
            "The file is no longer available",
            "The run did not create this file, or the file was deleted because of its age.",
        ),
    ),
    "HOLD_MISMATCH": Code(
        412,
        "sha256 or guards differ from those of the feed on hold; retrieve the "
        "run again",
        page=PageText(
            "The feed on hold has changed",
            "Nothing was published. Open the run again and review the feed before you "
            "release it.",
        ),
    ),
    "CONFIG_VERSION_MISMATCH": Code(
        412,
        "If-Match does not name the latest version; retrieve the config again",
        page=PageText(
            "Your settings have changed",
            "Someone saved a newer version of the settings, so your changes were not "
            "saved. Check the file again to see the current settings.",
        ),
    ),
    "PAYLOAD_TOO_LARGE": Code(
        413,
        "the body is larger than RELAY_MAX_BODY_BYTES",
        page=PageText(
            "The form is too large",
            "Enter shorter texts, or select fewer items.",
        ),
    ),
    "CONFIG_TOO_LARGE": Code(413, "the config is too large to be stored"),
    "UNSUPPORTED_MEDIA_TYPE": Code(
        415, "the body must be JSON, and the header Content-Type must say so"
    ),
    INVALID_REQUEST: Code(
        422, "the request has errors; errors lists each of them with its path"
    ),
    "invalid_config": Code(
        422, "the config has errors; errors lists each of them with its path"
    ),
    "unsupported_schema_version": Code(422, "schema_version must be 1"),
    "UNKNOWN_VENDOR": Code(
        422, "the request names a vendor that the config does not have"
    ),
    "CHECK_TOO_SLOW": Code(
        422,
        "the check of the uploads takes too much time or memory; check fewer "
        "vendors at once",
        page=PageText(
            "The file could not be checked",
            "The check takes too long or needs too much memory. Upload a smaller file.",
        ),
    ),
    "EXPLAIN_TOO_SLOW": Code(
        422,
        "the SKU has too many rows to explain",
        page=PageText(
            "The SKU could not be explained",
            "It has too many rows. Try another SKU.",
        ),
    ),
    "IDEMPOTENCY_KEY_REUSED": Code(
        422, "the Idempotency-Key was already used with another body"
    ),
    "RUN_QUOTA_EXCEEDED": Code(
        429,
        "the tenant has reached its maximum of runs in this hour (UTC)",
        page=PageText(
            "Too many runs",
            "You have started the maximum number of runs for this hour. Try again in the "
            "next hour.",
        ),
    ),
    "UPLOAD_QUOTA_EXCEEDED": Code(
        429,
        "the tenant has reached its maximum of upload links for today (UTC)",
    ),
    "CONFIG_QUOTA_EXCEEDED": Code(
        429,
        "the tenant has reached its maximum of config versions for today (UTC)",
        page=PageText(
            "Too many changes",
            "You have saved the maximum number of changes for today. Try again tomorrow.",
        ),
    ),
    "RATE_LIMITED": Code(
        429,
        "too many requests, or too many wrong keys; retry after the time in "
        "Retry-After",
        page=PageText(
            "Too many requests", "Wait a moment, and reload the page."
        ),
    ),
    "HEAD_TOO_LARGE": Code(
        431,
        "the path and the headers are larger than 64 KiB; the connection is closed",
    ),
    INTERNAL_ERROR: Code(
        500,
        "an unexpected error; the log has it under request_id",
        page=PageText(
            "Something went wrong",
            "Try again. If the error appears again, contact your administrator.",
        ),
    ),
    DEPENDENCY_UNAVAILABLE: Code(
        503,
        "a service that the API needs does not respond",
        5,
        page=PageText("Temporarily unavailable", _TRY_AGAIN),
    ),
    "QUEUE_UNAVAILABLE": Code(
        503,
        "the queue does not respond; no run was started",
        5,
        page=PageText("The run was not started", _TRY_AGAIN),
    ),
    "RUN_CREATION_PAUSED": Code(
        503,
        "run creation is paused; retry after the time in Retry-After",
        60,
        page=PageText("Runs are paused"),
    ),
    "CHECKS_BUSY": Code(
        503,
        "other configs are being checked; retry after the time in Retry-After",
        5,
        page=PageText("Another file is being checked", _TRY_AGAIN),
    ),
    "EXPLANATIONS_BUSY": Code(
        503,
        "other SKUs are being explained; retry after the time in Retry-After",
        5,
        page=PageText("Another SKU is being explained", _TRY_AGAIN),
    ),
    "SECRETS_UNAVAILABLE": Code(
        503, "Secrets Manager does not respond, or it denies access", 5
    ),
    "FEED_LINKS_BUSY": Code(
        503,
        "too many readers use links at once; retry after the time in Retry-After",
        5,
    ),
    "TOO_MANY_CONNECTIONS": Code(
        503, "too many connections are open; this one is closed", 5
    ),
    "NOT_READY": Code(
        503, "a dependency is not ready; dependencies has the state of each", 5
    ),
}


def problem_body(
    error_code: str,
    detail: str,
    *,
    request_id: str,
    status: int | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    members: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a problem document (RFC 9457).

    It has ``errors`` only if the input has errors. The status defaults to the code's.
    """
    status = status or CODES[error_code].status
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "error_code": error_code,
        "request_id": request_id,
        **(members or {}),
    }
    if errors:
        body["errors"] = list(errors)
    return body
