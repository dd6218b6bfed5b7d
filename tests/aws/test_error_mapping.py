from __future__ import annotations

import inspect

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore import exceptions as botocore_errors
from botocore.exceptions import BotoCoreError, ClientError

from relay_dagster import external_errors
from relay_dagster.aws.errors import external_error_of, maps_aws_errors
from relay_dagster.external_errors import (
    AccessRefusedError,
    ExternalServiceError,
    MissingResourceError,
    ObjectChangedError,
    RequestRejectedError,
    ServiceFailedError,
    ThrottledError,
    UnreachableError,
)

FAMILIES = [
    kind
    for _, kind in inspect.getmembers(botocore_errors, inspect.isclass)
    if issubclass(kind, BotoCoreError | ClientError)
]


def response(code: str, status: int) -> ClientError:
    answer = {
        "Error": {"Code": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "GetItem")  # type: ignore[arg-type]


def bare(kind: type[Exception]) -> Exception:
    """Return an exception without the arguments that its own constructor wants."""
    if issubclass(kind, ClientError):
        return kind({"Error": {"Code": "Unheard"}}, "GetItem")  # type: ignore[call-arg, arg-type]
    return kind.__new__(kind)


@pytest.mark.parametrize("kind", FAMILIES, ids=lambda kind: kind.__name__)
def test_every_exception_of_botocore_has_a_verdict(
    kind: type[Exception],
) -> None:
    assert isinstance(
        external_error_of(bare(kind), "call"), ExternalServiceError
    )


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in FAMILIES
        if issubclass(
            kind,
            botocore_errors.ConnectionError | botocore_errors.HTTPClientError,
        )
    ],
    ids=lambda kind: kind.__name__,
)
def test_lost_connections_and_time_outs_may_pass(kind: type[Exception]) -> None:
    fault = external_error_of(bare(kind), "call")
    assert isinstance(fault, UnreachableError)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SlowDown", 503, ThrottledError),
        ("ProvisionedThroughputExceededException", 400, ThrottledError),
        ("com.amazonaws.dynamodb#ThrottlingException", 400, ThrottledError),
        ("Unheard", 429, ThrottledError),
        ("InternalError", 500, ServiceFailedError),
        ("ServiceUnavailable", 503, ServiceFailedError),
        ("Unheard", 0, ServiceFailedError),
        ("RequestTimeout", 400, UnreachableError),
        ("AccessDenied", 403, AccessRefusedError),
        ("ExpiredTokenException", 400, AccessRefusedError),
        ("403", 403, AccessRefusedError),
        ("ResourceNotFoundException", 400, MissingResourceError),
        ("NoSuchKey", 404, MissingResourceError),
        ("AWS.SimpleQueueService.NonExistentQueue", 400, MissingResourceError),
        ("PreconditionFailed", 412, ObjectChangedError),
        ("ValidationException", 400, RequestRejectedError),
    ],
)
def test_a_response_is_judged_by_its_code_then_by_its_status(
    code: str, status: int, kind: type[ExternalServiceError]
) -> None:
    assert type(external_error_of(response(code, status), "call")) is kind


def test_what_is_not_aws_is_none_of_ours() -> None:
    assert external_error_of(ValueError("x"), "call") is None


def test_a_failed_transfer_is_judged_by_what_failed_it() -> None:
    outer = S3UploadFailedError("x")
    outer.__context__ = response("SlowDown", 503)
    assert isinstance(external_error_of(outer, "call"), ThrottledError)
    assert isinstance(
        external_error_of(S3UploadFailedError("x"), "call"),
        RequestRejectedError,
    )


def test_a_function_that_maps_aws_errors_raises_ours_with_their_cause() -> None:
    @maps_aws_errors
    def call() -> None:
        raise response("SlowDown", 503)

    with pytest.raises(ThrottledError, match="SlowDown") as caught:
        call()
    assert isinstance(caught.value.__cause__, ClientError)


def test_a_function_that_maps_aws_errors_lets_other_errors_pass() -> None:
    @maps_aws_errors
    def call() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        call()


def test_every_external_error_has_a_code_of_its_own() -> None:
    kinds = [
        kind
        for _, kind in inspect.getmembers(external_errors, inspect.isclass)
        if issubclass(kind, ExternalServiceError)
    ]
    assert len({kind.error_code for kind in kinds}) == len(kinds)
