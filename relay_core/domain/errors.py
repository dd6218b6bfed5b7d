"""The errors of the engine, each with its ``error_code``."""

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from relay_core.domain.codes import INVALID_CONFIG
from relay_core.domain.limits import MAX_FAULTS


class RelayError(Exception):
    """The base of every error that this package raises on purpose."""

    error_code: str = "internal_error"


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """A fault of a tenant config."""

    path: str  # the path in the config, such as ``vendors.1.parser.delimiter``
    message: str  # the fault in words

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(RelayError):
    """A tenant config is invalid. The message has the first fault and counts the others."""

    error_code = INVALID_CONFIG

    def __init__(self, faults: Iterable[ConfigFault]) -> None:
        self.faults = list(first_faults(faults))
        super().__init__("; ".join(map(str, self.faults)))


class ConfigTooLargeError(ConfigError):
    """A tenant config has more bytes than the limit."""

    error_code = "CONFIG_TOO_LARGE"

    def __init__(self, size: int, limit: int) -> None:
        message = (
            f"the config has {size:,} bytes as JSON without white space; "
            f"the limit is {limit:,}"
        )
        super().__init__([ConfigFault("", message)])


class UnsupportedSchemaVersionError(RelayError):
    """The ``schema_version`` of a tenant config is not 1."""

    error_code = "unsupported_schema_version"

    def __init__(self, version: object) -> None:
        self.version = version
        super().__init__(
            f"unsupported schema version: schema_version is {version!r}, but only 1 is "
            "supported. Write the config for schema_version 1 and store it again."
        )


class CellError(RelayError):
    """A cell breaks a rule of its column; ``error_code`` is the row fault."""

    def __init__(self, error_code: str, message: str) -> None:
        self.error_code = error_code
        super().__init__(message)


class FeedUnreadableError(RelayError):
    """A feed or a SKU map cannot be used at all; ``error_code`` is a failure code."""

    def __init__(self, error_code: str, message: str) -> None:
        self.error_code = error_code
        super().__init__(message)

    def __reduce__(self) -> "tuple[type[FeedUnreadableError], tuple[str, str]]":
        return type(self), (self.error_code, str(self))


class SkuNotFoundError(RelayError):
    """No row of a run has the SKU."""

    error_code = "SKU_NOT_FOUND"


class RunNotMergedError(RelayError):
    """A run's feed was neither published nor held, so there is nothing to explain."""

    error_code = "RUN_NOT_MERGED"


class ArtifactsExpiredError(RelayError):
    """A file of a run that is needed is gone."""

    error_code = "ARTIFACTS_EXPIRED"


class ContractBrokenError(RelayError):
    """The engine's steps disagree about the data, which is a defect of the engine."""


class StateUnreadableError(RelayError):
    """The state of a published feed is damaged, so no run can be compared with it."""


def first_faults(faults: Iterable[ConfigFault]) -> Iterator[ConfigFault]:
    """Yield the first faults, and one without a path that counts the others."""
    remaining_faults = iter(faults)
    yield from islice(remaining_faults, MAX_FAULTS)
    remaining_count = sum(1 for _ in remaining_faults)
    if remaining_count:
        yield ConfigFault("", f"... and {remaining_count} more")


_NO_THREAD = ("can't start new thread", "Failed to launch worker thread")
"""The messages of Python and Arrow if there is no memory for a thread's stack."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error, or one that led to it, is the system's refusal of memory."""
    cause: BaseException | None = error
    while cause is not None:
        # Pages that the system maps, or moves to make room, are refused with an OSError.
        if isinstance(cause, OSError):
            is_refusal = cause.errno == errno.ENOMEM
        else:
            is_refusal = isinstance(cause, MemoryError) or any(
                message in str(cause) for message in _NO_THREAD
            )
        if is_refusal:
            return True
        cause = cause.__cause__ or cause.__context__
    return False
