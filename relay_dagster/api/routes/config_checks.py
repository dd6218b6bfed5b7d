"""A config tried out without storing it: faults, doubts, and how it reads the latest uploads.

Editors that complete a config while it is written take its schema from here.

Bounded: a few vendors, the first bytes of each, a few threads. They are read by the engine, through
`engine_tasks`; what that comes to is ``relay_core.onboarding``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, islice
from typing import Annotated, Any, TypeVar

from fastapi import Response

from relay_core.config import TenantConfig, VendorConfig, load_config, parse_document
from relay_core.config.json_patch import parser_patch, parser_steps
from relay_core.config.lint import config_doubts
from relay_core.config.values import sound_id
from relay_core.domain.errors import (
    ConfigError,
    ConfigFault,
    UnsupportedSchemaVersionError,
)
from relay_core.domain.records import Doubt
from relay_core.onboarding.check_results import FeedCheck, Reading
from relay_core.onboarding.feed_sample import FeedSample, is_read_whole
from relay_core.onboarding.findings import (
    describe_check,
    policy_doubts_of,
    upload_doubts,
)
from relay_core.sandbox import BusyError, TaskOutOfMemoryError, TaskTooSlowError
from relay_dagster.api.engine_tasks import PIECE_BYTES, EngineTasks, TaskDeadline
from relay_dagster.api.http.config_schema import config_schema_json
from relay_dagster.api.http.error_codes import CODES, INVALID_REQUEST, responds_with
from relay_dagster.api.http.problems import ProblemError, invalid_request, unavailable
from relay_dagster.api.http.request_parsing import TenantId, json_body, router
from relay_dagster.api.routes.tenants import require_id
from relay_dagster.api.security.auth import MayConfigure, Parts
from relay_dagster.aws.object_store import ObjectInfo, ObjectStore
from relay_dagster.runs.job_message import is_id
from relay_dagster.wire import config_checks as wire
from relay_dagster.wire.base import Fault, ResponseBody

routes = router("tenants")

HEAD_BYTES = 1 << 20
WHOLE_BYTES = 8 << 20
"""Files whose index is at their end are read whole, up to so many bytes of all together."""
MAX_VENDORS = 20
MAX_LISTED = 200
_MAX_SAMPLES = 20
_MAX_MESSAGE = 1000
_THREADS = 4
# No answer is over 1 MiB; what stands beside these is short.
_BYTES_OF_FAULTS = 256 << 10
_BYTES_OF_DETAILS = 512 << 10
_SHORT_FACTS = ("vendor_id", "status", "s3_key", "size", "last_modified")
_NO_ROOM = "the answer has no room for more of it: check fewer vendors at once"
_Part = TypeVar("_Part", bound=ResponseBody)
# Any JSON object is accepted: the response says what is wrong with it.
_ANY_CONFIG_SCHEMA = {
    "type": "object",
    "additionalProperties": True,
    "description": "A tenant config.",
    "title": "Body",
}
_AnyConfig = Annotated[bytes, json_body(_ANY_CONFIG_SCHEMA)]


@routes.post("/v1/tenants/{tenant_id}/config:check")
@responds_with(
    *(
        "PAYLOAD_TOO_LARGE",
        "CONFIG_TOO_LARGE",
        "UNSUPPORTED_MEDIA_TYPE",
        "invalid_config",
    ),
    *(INVALID_REQUEST, "CHECK_TOO_SLOW", "CHECKS_BUSY"),
)
def check_config(
    tenant_id: TenantId, call: MayConfigure, body: _AnyConfig
) -> wire.ConfigCheck:
    """Try out a config, and read the first bytes of each vendor's latest upload with it.

    Nothing is stored. A config with faults is answered with 200, too: they are what was asked for.
    """
    require_id(tenant_id)
    document = parse_document(body, format="json", limits=call.platform.settings.limits)
    return check_document(tenant_id, document, call.parts)


@routes.get("/v1/config.schema.json", include_in_schema=False)
async def get_config_schema() -> Response:
    """Return the JSON Schema of a config; like the OpenAPI document, it is open to everybody."""
    return Response(config_schema_json(), media_type="application/schema+json")


def check_document(
    tenant_id: str,
    document: dict[str, Any],
    parts: Parts,
    *,
    vendor_id: str | None = None,
    waits: bool = False,
) -> wire.ConfigCheck:
    """Try out a config, and read the latest uploads, or one vendor's, with it.

    With ``waits`` it waits behind those who have keys, as a supplier's does. `ProblemError`: 503,
    others are being checked; 422, it took too long or too much memory.
    """
    slots = parts.tasks.slots
    try:
        with slots.hold_behind() if waits else slots.hold(tenant_id) as deadline:
            return _check(tenant_id, document, parts, deadline, vendor_id)
    except BusyError as error:
        raise unavailable("CHECKS_BUSY", "other configs are being checked") from error
    except (TaskTooSlowError, TaskOutOfMemoryError) as error:
        if vendor_id is not None:
            message = "the list takes too long or too much memory to be checked; a run has more"
            raise ProblemError("CHECK_TOO_SLOW", message) from error
        message = CODES["CHECK_TOO_SLOW"].meaning
        fault = ConfigFault("vendors", message)
        raise ProblemError("CHECK_TOO_SLOW", message, errors=[fault]) from error


def _check(
    tenant_id: str,
    document: dict[str, Any],
    parts: Parts,
    deadline: TaskDeadline,
    vendor_id: str | None,
) -> wire.ConfigCheck:
    platform, tasks = parts.platform, parts.tasks
    limits = platform.settings.limits
    named = sound_id(document.get("tenant_id"))
    if named not in (None, tenant_id):
        message = f'is "{named}", the path says "{tenant_id}"; they must be the same'
        raise invalid_request([ConfigFault("tenant_id", message)])
    try:
        config = load_config(document, limits)
    except ConfigError as error:
        return _faulty(tenant_id, error.faults, document)
    except UnsupportedSchemaVersionError as error:
        return _faulty(tenant_id, [ConfigFault("schema_version", str(error))], document)
    looked_at = [
        (place, vendor)
        for place, vendor in enumerate(config.vendors)
        if vendor_id in (None, vendor.vendor_id)
    ][:MAX_VENDORS]
    found = _check_all(config, looked_at, platform.objects, tasks, deadline)
    uploads = [*_fitting(document, found)]
    keeps_skus = config.output.missing_skus == "zero"
    is_published = not keeps_skus or platform.runs.feed(tenant_id) is not None
    doubts = (
        config_doubts(config, is_published=is_published) if vendor_id is None else ()
    )
    return _checked(config, document, uploads, doubts)


def _faulty(
    tenant_id: str, faults: Sequence[ConfigFault], document: Mapping[str, Any]
) -> wire.ConfigCheck:
    vendors = document.get("vendors")
    named = [
        vendor.get("vendor_id")
        for vendor in (vendors if isinstance(vendors, list) else ())
        if isinstance(vendor, dict)
    ]
    ids = [each for each in named if isinstance(each, str) and is_id(each)]
    why = "the config has faults; correct them and check it again"
    return wire.ConfigCheck(
        tenant_id=tenant_id,
        valid=False,
        faults=_first(
            Fault(path=_cut(each.path), message=_cut(each.message, _MAX_MESSAGE))
            for each in faults
        ),
        doubts=[],
        vendors=[_not_checked(vendor_id, why) for vendor_id in ids[:MAX_LISTED]],
        patch=[],
    )


# --- the uploads --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Upload:
    """A vendor's latest upload: as callers see it, its first bytes, and what was found in them.

    ``place`` is the vendor's in the config.
    """

    place: int
    vendor: VendorConfig
    shown: wire.VendorCheck
    latest: ObjectInfo | None = None
    feed: FeedSample | None = None
    check: FeedCheck | None = None

    @property
    def changes(self) -> Mapping[str, Any]:
        """The proposed changes of the vendor's parser."""
        return {} if self.check is None else self.check.changes


def _checked(
    config: TenantConfig,
    document: dict[str, Any],
    uploads: Sequence[_Upload],
    own_doubts: Sequence[Doubt],
) -> wire.ConfigCheck:
    rest = [
        _not_checked(
            vendor.vendor_id, f"only the first {MAX_VENDORS} vendors are looked at"
        )
        for vendor in config.vendors[MAX_VENDORS:MAX_LISTED]
        if len(uploads) == MAX_VENDORS
    ]
    doubts = [
        *own_doubts,
        *(
            doubt
            for upload in uploads
            if upload.check is not None
            for doubt in upload_doubts(f"vendors.{upload.place}", upload.check, config)
        ),
        *policy_doubts_of(
            config, [each.check for each in uploads if each.check is not None]
        ),
    ]
    changes = {upload.place: upload.changes for upload in uploads}
    return wire.ConfigCheck(
        tenant_id=config.tenant_id,
        valid=True,
        faults=[],
        doubts=_first(
            wire.DoubtFound(**{**each.as_dict(), "path": _cut(each.path)})
            for each in doubts
        ),
        vendors=[*(upload.shown for upload in uploads), *rest],
        patch=[*map(wire.Operation.of, parser_patch(document, changes))],
    )


def _check_all(
    config: TenantConfig,
    looked_at: Sequence[tuple[int, VendorConfig]],
    objects: ObjectStore,
    tasks: EngineTasks,
    deadline: TaskDeadline,
) -> list[_Upload]:
    """Read some vendors' uploads, a few at a time, and have all of them checked."""
    pool = ThreadPoolExecutor(_THREADS)
    try:
        found = list(
            pool.map(lambda each: _find(each[0], each[1], objects, deadline), looked_at)
        )
    finally:
        pool.shutdown(cancel_futures=True)
    found = list(_with_whole(found, objects))
    feeds = {
        each.vendor.vendor_id: each.feed for each in found if each.feed is not None
    }
    wholes = {
        each.vendor.vendor_id: (each.latest.size, partial(_piece, objects, each.latest))
        for each in found
        if each.latest is not None and each.feed is not None and not each.feed.is_whole
    }
    checks = tasks.read_on(
        config, tasks.check(config, feeds, deadline), wholes, deadline
    )
    return [_with_check(each, checks.get(each.vendor.vendor_id)) for each in found]


def _piece(objects: ObjectStore, latest: ObjectInfo, start: int) -> bytes:
    """Return a piece of an upload; nothing where it is gone by now."""
    stop = min(latest.size, start + PIECE_BYTES)
    return objects.read_range(latest.key, start, stop) or b""


def _fitting(document: dict[str, Any], uploads: Sequence[_Upload]) -> Iterator[_Upload]:
    """Yield the uploads with details and changes as far as an answer has room for them."""
    left = _BYTES_OF_DETAILS
    for upload in uploads:
        steps = map(
            wire.Operation.of, parser_steps(document, upload.place, upload.changes)
        )
        left -= sum(_size(each) for each in (upload.shown, *steps))
        if left < 0:
            own = {name: getattr(upload.shown, name) for name in _SHORT_FACTS}
            message = f"{upload.shown.message}; {_NO_ROOM}"
            upload = _Upload(
                upload.place, upload.vendor, wire.VendorCheck(**own, message=message)
            )
        yield upload


def _find(
    place: int, vendor: VendorConfig, objects: ObjectStore, deadline: TaskDeadline
) -> _Upload:
    prefix, vendor_id = vendor.inbound.s3_prefix, vendor.vendor_id
    if prefix is None:
        shown = _not_checked(vendor_id, "its feeds do not come from S3")
        return _Upload(place, vendor, shown)
    latest = objects.latest_object(prefix, each_page=deadline.left)
    data = None if latest is None else objects.read_range(latest.key, 0, HEAD_BYTES)
    message = f'there is no upload under "{_cut(prefix)}"'
    shown = wire.VendorCheck(vendor_id=vendor_id, status="missing", message=message)
    if latest is None or data is None:
        return _Upload(place, vendor, shown)
    feed = FeedSample(data, is_whole=latest.size <= len(data))
    return _Upload(place, vendor, shown, latest, feed)


def _with_whole(found: Iterable[_Upload], objects: ObjectStore) -> Iterator[_Upload]:
    """Yield what was found, whole where a file's first bytes do not do, as far as there is room."""
    room = WHOLE_BYTES
    for each in found:
        latest, feed = each.latest, each.feed
        if latest and feed and not feed.is_whole and is_read_whole(feed.data):
            data = (
                objects.read_range(latest.key, 0, latest.size)
                if latest.size <= room
                else None
            )
            if data is not None:
                room -= latest.size
                each = replace(each, feed=FeedSample(data, is_whole=True))
        yield each


def _with_check(upload: _Upload, check: FeedCheck | str | None) -> _Upload:
    """Return an upload as its check shows it; of bytes that cannot be read it says why."""
    latest = upload.latest
    if latest is None or check is None:
        return upload
    status: wire.VendorCheckStatus = "unreadable"
    if not isinstance(check, str) and (check.best.is_usable or check.best.headers):
        status = "read"
    shown = wire.VendorCheck(
        vendor_id=upload.vendor.vendor_id,
        status=status,
        message=_cut(
            check if isinstance(check, str) else describe_check(check), _MAX_MESSAGE
        ),
        s3_key=latest.key,
        size=latest.size,
        last_modified=latest.last_modified,
    )
    if isinstance(check, str):
        return replace(upload, shown=shown)
    return replace(upload, shown=shown.model_copy(update=_details(check)), check=check)


def _details(check: FeedCheck) -> dict[str, Any]:
    """Return the details of a check, each list cut at its limit."""
    best, symbols = check.best, list(check.parser.currency_symbols)[:_MAX_SAMPLES]
    return {
        "headers": [_cut(each) for each in best.headers[:MAX_LISTED]],
        "missing_headers": [
            wire.MissingHeaderFound(
                column=each.column,
                header=each.header and _cut(each.header),
                nearest=each.nearest and _cut(each.nearest),
            )
            for each in check.missing
        ],
        "unused_headers": [_cut(each) for each in best.unused[:MAX_LISTED]],
        "candidates": [
            wire.HeaderCandidate(
                column=column,
                header=_cut(candidate.header),
                score=candidate.score,
                samples=[*map(_cut, candidate.samples)],
            )
            for column, candidates in check.unknown.items()
            for candidate in candidates
        ],
        "rows_looked_at": best.rows,
        "whole": check.whole,
        "guesses": wire.Guesses.of(check.parser, currency_symbols=symbols),
        "as_sent": _reading(check.as_sent),
        "with_patch": check.with_changes and _reading(check.with_changes),
    }


def _not_checked(vendor_id: str, why: str) -> wire.VendorCheck:
    return wire.VendorCheck(vendor_id=vendor_id, status="not_looked_at", message=why)


def _first(parts: Iterable[_Part]) -> list[_Part]:
    """Return the first parts of an answer, as far as it has room for them."""
    shown = list(islice(parts, MAX_LISTED))
    sizes = accumulate(map(_size, shown))
    return [
        each
        for each, size in zip(shown, sizes, strict=True)
        if size <= _BYTES_OF_FAULTS
    ]


def _reading(reading: Reading) -> wire.HeadReading:
    refusals = [
        wire.RefusedCells.of(each, value=_cut(each.value))
        for each in reading.refusals[:_MAX_SAMPLES]
    ]
    message = reading.error_message
    return wire.HeadReading.of(
        reading,
        usable=reading.is_usable,
        refusals=refusals,
        error_message=None if message is None else _cut(message, _MAX_MESSAGE),
    )


def _cut(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _size(shown: ResponseBody) -> int:
    """Return how many bytes of an answer a part of it takes."""
    return len(shown.model_dump_json().encode())
