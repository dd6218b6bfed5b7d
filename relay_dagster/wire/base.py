"""The rules of all models: requests are strict; a client reads answers of a newer API, too."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StringConstraints,
    model_validator,
)

from relay_dagster.runs.job_message import ID_PATTERN

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
NextCursor = Annotated[
    str | None,
    Field(description="Give it as `cursor` for the next page; null on the last one."),
]
_MAX_NAMED = 10


@cache
def examples() -> dict[str, dict[str, Any]]:
    """Return the examples of bodies by the names of their models, from the file beside this one."""
    import yaml

    text = (resources.files(__package__) / "examples.yaml").read_text("utf-8")
    shown: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return shown


def _add_example(schema: dict[str, Any], model: type[BaseModel]) -> None:
    if shown := examples().get(model.__name__):
        schema["examples"] = [shown]


def each_once(noun: str) -> Callable[[Any], Any]:
    """Return the validator of a list in which nothing may stand twice; of many it names ten."""

    def refuse_repeated(listed: Sequence[str] | None) -> Sequence[str] | None:
        counts = Counter(listed or ())
        if repeated := sorted(each for each, count in counts.items() if count > 1):
            rest = (
                f" and {len(repeated) - _MAX_NAMED} more"
                if repeated[_MAX_NAMED:]
                else ""
            )
            named = ", ".join(repeated[:_MAX_NAMED])
            raise ValueError(f"each {noun} once; named again: {named}{rest}")
        return listed

    return refuse_repeated


class RequestBody(BaseModel):
    """A request's body; a field that is not known is a fault."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra=_add_example
    )


class ResponseBody(BaseModel):
    """An answer, or a part of one.

    The API sends every field. A default is for a client whose API is older than the field.
    """

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        json_schema_extra=_add_example,
        json_schema_serialization_defaults_required=True,
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema without defaults: an answer lacks nothing."""
        shown = handler(schema)
        for field in handler.resolve_ref_schema(shown).get("properties", {}).values():
            field.pop("default", None)
        return shown

    _sent: Any = PrivateAttr(None)

    @model_validator(mode="wrap")
    @classmethod
    def _keep(cls, document: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        answer = read(document)
        if isinstance(document, dict):
            answer._sent = document
        return answer

    @classmethod
    def of(cls, source: Any, **others: Any) -> Self:
        """Return the answer that shows an object's attributes, ``others`` in place of its own."""
        own = {
            name: getattr(source, name)
            for name in cls.model_fields
            if name not in others
        }
        return cls(**own, **others)

    def as_json(self) -> dict[str, Any]:
        """Return an answer that was read as it came, with fields that are not known here."""
        return {**self._sent}


class Page(ResponseBody):
    """A part of a list, and where the next one begins."""

    if TYPE_CHECKING:
        next_cursor: NextCursor


class Open:
    """Marks a field's words, which the schema shows, as today's; a client takes others as text."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> Any:
        """Return a schema that takes a word of today, or else any text."""
        choices = [handler(source), {"type": "str"}]
        return {"type": "union", "choices": choices, "mode": "left_to_right"}

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the words of today."""
        return handler(schema["choices"][0])


# --- errors, and how the API itself stands --------------------------------------------------------


class Fault(ResponseBody):
    """One thing wrong with what was sent."""

    path: str = Field(examples=["vendors.1.parser.delimiter"])
    message: str


class Problem(ResponseBody):
    """The body of every error (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow", json_schema_serialization_defaults_required=False
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error_code: str
    request_id: str
    errors: list[Fault] = Field([])
    active_run_id: str | None = Field(
        None, description="With `TENANT_ALREADY_RUNNING`."
    )


class Health(ResponseBody):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Dependency(ResponseBody):
    """The state of one dependency of the API."""

    state: str = Field(examples=["ok", "unreachable", "queue_misconfigured"])
    details: list[str] = Field([])


class Readiness(ResponseBody):
    """All dependencies answer as they must."""

    status: Literal["ready"] = "ready"
    dependencies: dict[str, Dependency]
