"""The rules of all models: requests are strict; a client reads answers of a newer API, too."""

from typing import TYPE_CHECKING, Annotated, Any, Self

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

EXAMPLE_RUN_ID = "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
NextCursor = Annotated[
    str | None, Field(description="Give it as `cursor` for the next page; null on the last one.")
]


def example(**fields: Any) -> ConfigDict:
    """Return the config of a model with an example of it."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


def examples_of(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the examples of a model."""
    shown: Any = model.model_config["json_schema_extra"]
    return [*shown["examples"]]


def page_example(name: str, model: type[BaseModel], **others: Any) -> ConfigDict:
    """Return the config of a page that lists a model, with an example: the last page."""
    return example(**others, **{name: examples_of(model)}, next_cursor=None)


class Order(BaseModel):
    """A request's body; a field that is not known is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """An answer, or a part of one.

    The API sends every field. A default is for a client whose API is older than the field.
    """

    model_config = ConfigDict(
        frozen=True, defer_build=True, json_schema_serialization_defaults_required=True
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
        own = {name: getattr(source, name) for name in cls.model_fields if name not in others}
        return cls(**own, **others)

    def as_json(self) -> dict[str, Any]:
        """Return an answer that was read as it came, with fields that are not known here."""
        return {**self._sent}


class Page(Answer):
    """A part of a list, and where the next one begins."""

    if TYPE_CHECKING:
        next_cursor: NextCursor


class Open:
    """Marks a field's words, which the schema shows, as today's; a client takes others as text."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Return a schema that takes a word of today, or else any text."""
        choices = [handler(source), {"type": "str"}]
        return {"type": "union", "choices": choices, "mode": "left_to_right"}

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the words of today."""
        return handler(schema["choices"][0])
