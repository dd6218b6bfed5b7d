"""What pydantic found wrong with a config, as faults in plain words, each with its path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from relay_core.config.scalars import join_path, type_name
from relay_core.config.values import FaultyValueError, ValueFault, nearest
from relay_core.domain.cell_rules import shorten
from relay_core.domain.errors import ConfigFault
from relay_core.domain.limits import MOST_FAULTS_TOLD


def faults_of(error: ValidationError, model: type[BaseModel]) -> Iterator[ConfigFault]:
    """Yield the faults behind a failed validation of ``model``, in the order of its fields."""
    details = error.errors(include_url=False)
    faults = (fault for detail in details for fault in _faults(detail, model))
    for index, fault in enumerate(faults):
        hint = fault.hint() if index < MOST_FAULTS_TOLD else ""
        yield ConfigFault(join_path(fault.path), fault.message + hint)


def _faults(detail: Any, model: type[BaseModel]) -> Iterator[ValueFault]:
    path: tuple[Any, ...] = detail["loc"]
    kind: str = detail["type"]
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, FaultyValueError):
        base = path[:-1] if error.of_section else path
        yield from (fault._replace(path=(*base, *fault.path)) for fault in error.faults)
    elif kind == "missing":
        yield ValueFault(path, "is required")
    elif kind == "extra_forbidden":
        hint = partial(_nearest_key, model, path)
        yield ValueFault(path, "unknown key", hint)
    elif kind == "model_type":
        found = detail["input"]
        shown = f" {shorten(found)}" if isinstance(found, str) else ""
        yield ValueFault(
            path, f"a mapping of keys to values is wanted, not {type_name(found)}{shown}"
        )
    else:
        yield ValueFault(path, detail["msg"])


def _nearest_key(model: type[BaseModel], path: Sequence[Any]) -> str:
    return nearest(path[-1], _keys_at(model, path))


def _keys_at(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Return the keys that may stand beside the last step of a path."""
    for step in path[:-1]:
        if isinstance(step, str):
            model = _section_of(model.model_fields[step].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field holds, be it optional or a tuple of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_of, get_args(annotation))), None)
