"""The base of all request and response models of the API.

Requests are strict. Responses are tolerant, so that a client can read those of a newer
API.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from relay_dagster.runs.job_message import ID_PATTERN

Id = Annotated[str, pydantic.StringConstraints(pattern=ID_PATTERN)]
NextCursor = Annotated[
    str | None,
    Field(description="The `cursor` of the next page. Null on the last page."),
]
_MAX_REPEATED_NAMES = 10


@cache
def examples() -> dict[str, dict[str, Any]]:
    """Return an example of each body, keyed by the name of its model."""
    # The package must load quickly, and few processes need the examples.
    import yaml

    text = (resources.files(__package__) / "examples.yaml").read_text("utf-8")
    documents: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return documents


def _add_example(schema: dict[str, Any], model: type[BaseModel]) -> None:
    example = examples().get(model.__name__)
    if example is not None:
        schema["examples"] = [example]


def unique_items(noun: str) -> Callable[[Any], Any]:
    """Return the validator of a list whose items must differ.

    Its message names at most ten of the repeated items.
    """

    def reject_repeated_items(
        items: Sequence[str] | None,
    ) -> Sequence[str] | None:
        counts = Counter(items or ())
        repeated = sorted(item for item, count in counts.items() if count > 1)
        if not repeated:
            return items
        names = ", ".join(repeated[:_MAX_REPEATED_NAMES])
        unnamed = len(repeated) - _MAX_REPEATED_NAMES
        suffix = f" and {unnamed} more" if unnamed > 0 else ""
        raise ValueError(
            f"must have each {noun} once; remove the repeated ones: {names}{suffix}"
        )

    return reject_repeated_items


class RequestBody(BaseModel):
    """The body of a request. A field that the model does not have is an error."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra=_add_example,
    )


class ResponseBody(BaseModel):
    """The body of a response, or a part of it.

    The API sends every field but those of options that a config does not use. A field
    has a default for clients that read the response of an older API, which did not have
    the field yet.
    """

    # The fields that are sent only if the config uses their option
    OPTIONAL_FIELDS: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        json_schema_extra=_add_example,
        json_schema_serialization_defaults_required=True,
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls,
        schema: Any,
        handler: pydantic.GetJsonSchemaHandler,
    ) -> dict[str, Any]:
        """Return the schema without defaults, because no response relies on them."""
        json_schema = handler(schema)
        resolved_schema = handler.resolve_ref_schema(json_schema)
        for field in resolved_schema.get("properties", {}).values():
            field.pop("default", None)
        if cls.OPTIONAL_FIELDS:
            required = resolved_schema["required"]
            resolved_schema["required"] = [
                name for name in required if name not in cls.OPTIONAL_FIELDS
            ]
        return json_schema

    _document: Any = pydantic.PrivateAttr(None)

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _keep_document(
        cls,
        document: Any,
        validate: pydantic.ModelWrapValidatorHandler[Self],
    ) -> Self:
        body = validate(document)
        if isinstance(document, dict):
            body._document = document
        return body

    @classmethod
    def of(cls, source: Any, **fields: Any) -> Self:
        """Return the body with an object's attributes, some of them overridden."""
        attributes = {
            name: getattr(source, name)
            for name in cls.model_fields
            if name not in fields
        }
        return cls(**attributes, **fields)

    def as_json(self) -> dict[str, Any]:
        """Return the document that the body was read from, with all of its fields."""
        return {**self._document}


class Page(ResponseBody):
    """A page of a list."""

    if TYPE_CHECKING:
        next_cursor: NextCursor


class OpenEnum:
    """Marks the annotation of a field whose values a later API may extend.

    The schema shows today's values. A client reads any other value as text.
    """

    def __get_pydantic_core_schema__(
        self,
        source: Any,
        handler: pydantic.GetCoreSchemaHandler,
    ) -> Any:
        """Return a schema that accepts one of today's values, or else any text."""
        choices = [handler(source), {"type": "str"}]
        return {"type": "union", "choices": choices, "mode": "left_to_right"}

    def __get_pydantic_json_schema__(
        self,
        schema: Any,
        handler: pydantic.GetJsonSchemaHandler,
    ) -> dict[str, Any]:
        """Return the schema of today's values."""
        return handler(schema["choices"][0])


# --- errors, and the health of the API ----------------------------------------------


class Fault(ResponseBody):
    """An error of a request or of a config."""

    path: str = Field(
        description="The path of the field that has the error.",
        examples=["vendors.1.parser.delimiter"],
    )
    message: str


class Problem(ResponseBody):
    """The body of every error response (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_serialization_defaults_required=False,
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error_code: str
    request_id: str
    errors: list[Fault] = Field([])
    active_run_id: str | None = Field(
        None,
        description="The tenant's unfinished run, with `TENANT_ALREADY_RUNNING`.",
    )


class Health(ResponseBody):
    """The health of the process."""

    status: Literal["ok"] = "ok"


class Dependency(ResponseBody):
    """The state of a dependency of the API."""

    state: str = Field(examples=["ok", "unreachable", "queue_misconfigured"])
    details: list[str] = Field([])


class Readiness(ResponseBody):
    """The states of all dependencies of the API, if all of them work."""

    status: Literal["ready"] = "ready"
    dependencies: dict[str, Dependency]
