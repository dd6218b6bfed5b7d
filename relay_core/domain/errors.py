"""Domain errors, each with its ``error_code``."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from relay_core.domain.codes import INVALID_CONFIG
from relay_core.domain.limits import MAX_FAULTS


class RelayError(Exception):
    """Base of every error that this package raises on purpose."""

    error_code: str = "internal_error"


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One thing wrong with a tenant config: where (``vendors.1.parser.delimiter``) and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(RelayError):
    """A tenant config with faults: the first ones, then how many more there are."""

    error_code = INVALID_CONFIG

    def __init__(self, faults: Iterable[ConfigFault]) -> None:
        self.faults = tuple(first_faults(faults))
        super().__init__("; ".join(map(str, self.faults)))


class ConfigTooLargeError(ConfigError):
    """A tenant config of more bytes than one may have."""

    error_code = "CONFIG_TOO_LARGE"

    def __init__(self, size: int, limit: int) -> None:
        message = (
            f"the config has {size:,} bytes as JSON without white space; "
            f"{limit:,} are the most"
        )
        super().__init__([ConfigFault("", message)])


class UnsupportedSchemaVersionError(RelayError):
    """A tenant config whose ``schema_version`` is not 1."""

    error_code = "unsupported_schema_version"

    def __init__(self, found: object) -> None:
        self.found = found
        super().__init__(
            f"unsupported schema version: the config says {found!r}, this version reads 1; "
            "write the config for schema_version 1 and store it again"
        )


class CellError(RelayError):
    """A cell that breaks a rule of its column; ``error_code`` is the row fault."""

    def __init__(self, error_code: str, message: str) -> None:
        self.error_code = error_code
        super().__init__(message)


class FeedUnreadableError(RelayError):
    """A feed or SKU map that cannot be used at all; ``error_code`` is a failure code."""

    def __init__(self, error_code: str, message: str) -> None:
        self.error_code = error_code
        super().__init__(message)

    def __reduce__(self) -> "tuple[type[FeedUnreadableError], tuple[str, str]]":
        return type(self), (self.error_code, str(self))


class SkuNotFoundError(RelayError):
    """No row of a run has this SKU."""

    error_code = "SKU_NOT_FOUND"


class RunNotMergedError(RelayError):
    """A run whose feed was neither published nor held: there is nothing to explain."""

    error_code = "RUN_NOT_MERGED"


class ArtifactsExpiredError(RelayError):
    """A file of a run is gone that is needed."""

    error_code = "ARTIFACTS_EXPIRED"


class ContractBrokenError(RelayError):
    """The engine's own steps disagree about the data: a defect of the engine, never of a feed."""


class StateUnreadableError(RelayError):
    """The state of a published feed cannot be read: what a run is compared with is damaged."""


def first_faults(faults: Iterable[ConfigFault]) -> Iterator[ConfigFault]:
    """Yield the first faults, and where there are more a last one without a path: how many."""
    left = iter(faults)
    yield from islice(left, MAX_FAULTS)
    if more := sum(1 for _ in left):
        yield ConfigFault("", f"... and {more} more")
