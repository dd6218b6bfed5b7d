"""Values of the program as attributes of DynamoDB items and back: one codec for every dataclass.

A value is written by what it is, and read by the type of its field, so that a new field needs
nothing here. Instants are text, UTC, microseconds; None is an attribute that is absent. What a type
does not know of an item is ignored. Which attributes an item has beside its fields stands in the
store of its kind, its key in `schema`.
"""

import hashlib
import json
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from relay_dagster.aws.dynamodb import schema
from relay_dagster.tenants.audit import AuditEntry

Item = dict[str, Any]

_T = TypeVar("_T")
_SERIALIZER = TypeSerializer()
_DESERIALIZER = TypeDeserializer()
DAY = timedelta(days=1)
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def marshal(plain: Mapping[str, Any]) -> Item:
    """Return plain values as DynamoDB's typed ones; None is left out, text is made valid."""
    return {
        name: _SERIALIZER.serialize(_valid(value))
        for name, value in plain.items()
        if value is not None
    }


def unmarshal(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return DynamoDB's typed values as plain ones; numbers are Decimals."""
    return {name: _DESERIALIZER.deserialize(value) for name, value in item.items()}


def _valid(value: Any) -> Any:
    """Replace lone surrogates, which JSON on the wire cannot carry, also inside lists and maps."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_valid(str(name)): _valid(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_valid(each) for each in value]
    return value


def instant_text(instant: datetime) -> str:
    """Return an instant as text that sorts by time."""
    return instant.astimezone(UTC).strftime(_FORMAT)


def read_instant(text: str) -> datetime:
    """Return the instant of `instant_text`."""
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)


def by_time(instant: datetime, name: str) -> str:
    """Return a sort key by time, then by name."""
    return f"{instant_text(instant)}#{name}"


def epoch_seconds(instant: datetime) -> int:
    """Return an instant as DynamoDB's time-to-live wants it."""
    return int(instant.timestamp())


def hour_of(instant: datetime) -> datetime:
    """Return the hour of the UTC clock that an instant lies in; runs are counted by it."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def seconds_left_of_day(now: datetime) -> float:
    """Return how long the day of the UTC clock goes on; configs and upload links count by it."""
    midnight = datetime.combine(now.astimezone(UTC).date() + DAY, time.min, UTC)
    return (midnight - now).total_seconds()


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a key's or a link's secret, in hex: all of it that is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def to_plain(value: Any) -> Any:
    """Return a value as texts, numbers, lists and mappings, which JSON and DynamoDB both have."""
    if isinstance(value, AuditEntry):
        return value.to_document()
    if is_dataclass(value):
        return {
            each.name: to_plain(getattr(value, each.name)) for each in fields(value)
        }
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, Mapping):
        return {name: to_plain(each) for name, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(to_plain, value))
    if isinstance(value, (list, tuple)):
        return [to_plain(each) for each in value]
    return value


def of_plain(kind: Any, plain: Any) -> Any:
    """Return the value of a type that `to_plain` has made plain; raises where it is none."""
    return _reader(kind)(plain)


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """Return the function that reads a plain value as one of a type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is types.UnionType:
        (known,) = (each for each in inner if each is not types.NoneType)
        read = _reader(known)
        return lambda plain: None if plain is None else read(plain)
    if origin in (tuple, frozenset):
        read_one = _reader(inner[0])
        return lambda plain: origin(map(read_one, plain))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        read_value = _reader(inner[1])
        return lambda plain: {name: read_value(each) for name, each in plain.items()}
    if kind is datetime:
        return read_instant
    if kind is AuditEntry:
        return AuditEntry.of_document
    if is_dataclass(kind):
        make: Any = kind
        return lambda plain: make(**_known(make, plain))
    if kind is int or (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return lambda plain: kind(plain)
    return lambda plain: plain


def _known(kind: Any, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the fields that a dataclass has, by name."""
    return {
        name: _reader(hint)(plain[name])
        for name, hint in _hints(kind).items()
        if name in plain
    }


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    """Return the types of a dataclass's fields, by name."""
    names = {each.name for each in fields(kind)}
    return {name: hint for name, hint in get_type_hints(kind).items() if name in names}


def to_row(value: Any) -> list[Any]:
    """Return a dataclass's values; a field that is added must be the last, and have a default."""
    return [to_plain(getattr(value, each.name)) for each in fields(value)]


def of_row(kind: Any, row: Sequence[Any]) -> Any:
    """Return the dataclass of `to_row`."""
    return kind(**_known(kind, dict(zip(_hints(kind), row, strict=False))))


@dataclass(frozen=True, slots=True)
class Form:
    """How a field is stored that is not stored by its type."""

    write: Callable[[Any], Any]  # returns the attribute of a value; None for none
    read: Callable[
        [Any, Any], Any
    ]  # returns the value, of the field's type and the attribute


JSON_TEXT = Form(
    lambda value: json.dumps(to_plain(value), ensure_ascii=False),
    lambda kind, text: of_plain(kind, json.loads(text)),
)
"""A JSON text: numbers in it come back as they were."""

ROWS = Form(
    lambda values: (
        json.dumps([*map(to_row, values)], ensure_ascii=False) if values else None
    ),
    lambda kind, text: tuple(
        of_row(get_args(kind)[0], row) for row in json.loads(text)
    ),
)
"""Dataclasses as a JSON text of rows."""

SECONDS = Form(
    epoch_seconds, lambda _, number: datetime.fromtimestamp(int(number), UTC)
)
"""An instant as DynamoDB's time-to-live wants it."""

FLAG = Form(lambda value: value or None, lambda _, stored: bool(stored))
"""An attribute that is there, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec(Generic[_T]):
    """How a dataclass is stored as an item."""

    kind: Callable[..., _T]  # the dataclass
    in_key: str | None = (
        None  # the field that is a part of the item's key, and no attribute
    )
    # Of fields that are not stored by their types
    forms: Mapping[str, Form] = field(default_factory=dict)
    # Attributes that are not called as their fields
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """The names of all attributes of fields."""
        return frozenset(
            self.renamed.get(name, name)
            for name in _hints(self.kind)
            if name != self.in_key
        )

    def attributes(self, value: _T) -> dict[str, Any]:
        """Return the plain attributes that a value's fields are stored as; None is none."""
        plain = {}
        for name in _hints(self.kind):
            if name != self.in_key:
                known, form = getattr(value, name), self.forms.get(name)
                stored = (
                    form.write(known) if form and known is not None else to_plain(known)
                )
                plain[self.renamed.get(name, name)] = stored
        return plain

    def item(self, key: str, value: _T, **more: Any) -> Item:
        """Return the item of a value, with more plain attributes beside its fields."""
        return marshal({schema.KEY: key, **self.attributes(value), **more})

    def read(self, item: Mapping[str, Any]) -> _T:
        """Return the value of an item; raises where this release cannot read it."""
        stored, found = unmarshal(item), dict[str, Any]()
        if self.in_key is not None:
            found[self.in_key] = str(stored[schema.KEY]).partition("#")[2] or None
        for name, hint in _hints(self.kind).items():
            attribute = self.renamed.get(name, name)
            if name != self.in_key and attribute in stored:
                read = self.forms[name].read if name in self.forms else of_plain
                found[name] = read(hint, stored[attribute])
        return self.kind(**found)
