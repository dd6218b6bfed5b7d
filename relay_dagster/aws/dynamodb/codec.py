"""Translates the program's values to DynamoDB items and back, with one codec for dataclasses.

A value is written according to its own type and read according to the type of its field,
so a new field needs no code here. An instant is stored as UTC text with microseconds.
A field that is None has no attribute. Attributes that the dataclass does not have are
ignored. The store of each kind of item adds the attributes that are not fields, and
`schema` names the keys.
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

Item = Mapping[str, Any]
"""An item as DynamoDB has it: typed values, by the names of its attributes."""

PlainItem = dict[str, Any]
"""An item's plain values, by the names of its attributes; numbers are Decimals."""

_T = TypeVar("_T")
ItemReader = Callable[[Item], _T]
"""Returns the value of an item; raises where this release cannot read it."""

_Reader = Callable[[Any], Any]
_SERIALIZER = TypeSerializer()
_DESERIALIZER = TypeDeserializer()
DAY = timedelta(days=1)
_INSTANT_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def marshal(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values as DynamoDB's typed ones, without those that are None."""
    item = {}
    for name, value in plain.items():
        if value is not None:
            item[name] = _SERIALIZER.serialize(_as_utf8(value))
    return item


def unmarshal(item: Item) -> PlainItem:
    """Return DynamoDB's typed values as plain ones."""
    return {
        name: _DESERIALIZER.deserialize(value) for name, value in item.items()
    }


def _as_utf8(value: Any) -> Any:
    """Return a value with its lone surrogates replaced, because UTF-8 has none."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {
            _as_utf8(str(key)): _as_utf8(member)
            for key, member in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_as_utf8(member) for member in value]
    return value


def instant_text(instant: datetime) -> str:
    """Return an instant as text that sorts by time."""
    return instant.astimezone(UTC).strftime(_INSTANT_FORMAT)


def read_instant(text: str) -> datetime:
    """Return the instant that `instant_text` has written.

    Raises:
        ValueError: The text is not an instant.
    """
    return datetime.strptime(text, _INSTANT_FORMAT).replace(tzinfo=UTC)


def by_time(instant: datetime, name: str) -> str:
    """Return a key that sorts by time, then by name."""
    return f"{instant_text(instant)}#{name}"


def epoch_seconds(instant: datetime) -> int:
    """Return an instant in seconds since 1970, the form of DynamoDB's time-to-live."""
    return int(instant.timestamp())


def hour_of(instant: datetime) -> datetime:
    """Return the start of an instant's UTC hour."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def seconds_left_of_day(now: datetime) -> float:
    """Return the number of seconds until the UTC day ends, when daily quotas start again."""
    midnight = datetime.combine(now.astimezone(UTC).date() + DAY, time.min, UTC)
    return (midnight - now).total_seconds()


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret in hex, which is stored instead of the secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def to_plain(value: Any) -> Any:
    """Return a value as text, numbers, lists, and mappings, for JSON and DynamoDB alike."""
    if isinstance(value, AuditEntry):
        return value.to_document()
    if is_dataclass(value):
        return {
            member.name: to_plain(getattr(value, member.name))
            for member in fields(value)
        }
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, Mapping):
        return {name: to_plain(member) for name, member in value.items()}
    if isinstance(value, frozenset):
        return sorted(to_plain(member) for member in value)
    if isinstance(value, (list, tuple)):
        return [to_plain(member) for member in value]
    return value


def from_plain(kind: Any, plain: Any) -> Any:
    """Return the value of a type that `to_plain` has made plain.

    Raises:
        Exception: The plain value is not one of the type; which error it is depends on
            the type.
    """
    return _reader(kind)(plain)


@cache
def _reader(kind: Any) -> _Reader:
    """Return the function that reads a plain value as a value of the type."""
    origin = get_origin(kind)
    arguments = get_args(kind)
    if origin is types.UnionType:
        return _optional_reader(arguments)
    if origin in (tuple, frozenset):
        return _collection_reader(origin, arguments[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_reader(arguments[1])
    if kind is datetime:
        return read_instant
    if kind is AuditEntry:
        return AuditEntry.of_document
    if is_dataclass(kind):
        return _dataclass_reader(kind)
    if kind is int or (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return lambda plain: kind(plain)
    return lambda plain: plain


def _optional_reader(alternatives: tuple[Any, ...]) -> _Reader:
    """Return the reader of a type that is either None or one other type."""
    (kind,) = (kind for kind in alternatives if kind is not types.NoneType)
    read_value = _reader(kind)
    return lambda plain: None if plain is None else read_value(plain)


def _collection_reader(collection: Any, member_kind: Any) -> _Reader:
    """Return the reader of a tuple or a frozenset."""
    read_member = _reader(member_kind)
    return lambda plain: collection(map(read_member, plain))


def _mapping_reader(value_kind: Any) -> _Reader:
    """Return the reader of a mapping, whose keys are text."""
    read_value = _reader(value_kind)
    return lambda plain: {
        name: read_value(value) for name, value in plain.items()
    }


def _dataclass_reader(kind: Any) -> _Reader:
    """Return the reader of a dataclass, whose fields are looked up when it is used."""
    return lambda plain: kind(**_field_values(kind, plain))


def _field_values(kind: Any, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the dataclass's fields that the mapping has, by name."""
    values = {}
    for name, field_type in _field_types(kind).items():
        if name in plain:
            values[name] = from_plain(field_type, plain[name])
    return values


@cache
def _field_types(kind: Any) -> Mapping[str, Any]:
    """Return the types of a dataclass's fields, by name, in the order of the fields."""
    type_hints = get_type_hints(kind)
    field_names = {member.name for member in fields(kind)}
    return {
        name: type_hints[name] for name in type_hints if name in field_names
    }


def to_row(value: Any) -> list[Any]:
    """Return the plain values of a dataclass's fields, in their order.

    A new field must therefore be the last one, and must have a default.
    """
    return [to_plain(getattr(value, member.name)) for member in fields(value)]


def from_row(kind: Any, row: Sequence[Any]) -> Any:
    """Return the dataclass that `to_row` has made a row."""
    plain = dict(zip(_field_types(kind), row, strict=False))
    return kind(**_field_values(kind, plain))


@dataclass(frozen=True, slots=True)
class Form:
    """How a field is stored if its type does not say it."""

    # Returns the plain attribute of a value, or None to store none
    write: Callable[[Any], Any]
    # Returns the value, given the field's type and the plain attribute
    read: Callable[[Any, Any], Any]


def _write_json(value: Any) -> str:
    return json.dumps(to_plain(value), ensure_ascii=False)


def _read_json(kind: Any, text: str) -> Any:
    return from_plain(kind, json.loads(text))


def _write_rows(values: Sequence[Any]) -> str | None:
    if not values:
        return None
    return json.dumps([to_row(value) for value in values], ensure_ascii=False)


def _read_rows(kind: Any, text: str) -> tuple[Any, ...]:
    member_kind = get_args(kind)[0]
    return tuple(from_row(member_kind, row) for row in json.loads(text))


def _read_seconds(_kind: Any, seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


JSON_TEXT = Form(_write_json, _read_json)
"""A JSON text, from which numbers come back as they were."""

ROWS = Form(_write_rows, _read_rows)
"""A tuple of dataclasses as a JSON text of one row each."""

SECONDS = Form(epoch_seconds, _read_seconds)
"""An instant in the form of DynamoDB's time-to-live."""

FLAG = Form(lambda value: value or None, lambda _kind, stored: bool(stored))
"""A flag: its attribute exists only while it is true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec(Generic[_T]):
    """How a dataclass is stored as an item."""

    # The dataclass
    kind: Callable[..., _T]
    # The field that is stored as a part of the item's key, if there is one
    in_key: str | None = None
    # The forms of the fields that their types do not describe, by field
    forms: Mapping[str, Form] = field(default_factory=dict)
    # The attributes whose names differ from those of their fields, by field
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """The names of the attributes in which fields are stored."""
        return frozenset(self._attribute_names().values())

    def _attribute_names(self) -> dict[str, str]:
        """Return the names of the attributes by field, without the field in the key."""
        return {
            name: self.renamed.get(name, name)
            for name in _field_types(self.kind)
            if name != self.in_key
        }

    def attributes(self, value: _T) -> PlainItem:
        """Return the plain attributes of a value's fields; None means no attribute."""
        plain = {}
        for name, attribute in self._attribute_names().items():
            field_value = getattr(value, name)
            if name in self.forms and field_value is not None:
                plain[attribute] = self.forms[name].write(field_value)
            else:
                plain[attribute] = to_plain(field_value)
        return plain

    def item(self, key: str, value: _T, **plain: Any) -> dict[str, Any]:
        """Return the item of a value, with more plain attributes beside its fields."""
        return marshal({schema.KEY: key, **self.attributes(value), **plain})

    def read(self, item: Item) -> _T:
        """Return the value of an item.

        Raises:
            Exception: This release cannot read the item; which error it is depends on
                the attribute.
        """
        plain = unmarshal(item)
        field_types = _field_types(self.kind)
        values = {}
        if self.in_key is not None:
            _, _, name_in_key = str(plain[schema.KEY]).partition("#")
            values[self.in_key] = name_in_key or None
        for name, attribute in self._attribute_names().items():
            if attribute in plain:
                form = self.forms.get(name)
                read_field = from_plain if form is None else form.read
                values[name] = read_field(field_types[name], plain[attribute])
        return self.kind(**values)
