"""How much a config may hold: one under and one over each limit, and what a refusal costs."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from unittest import mock

import pytest
import yaml

from relay_core.config import (
    load_config,
    load_stored_config,
    parse_document,
    refusals,
)
from relay_core.config.reading.plain_values import plain_document
from relay_core.domain.errors import (
    ConfigError,
    ConfigFault,
    ConfigTooLargeError,
)
from relay_core.domain.limits import Limits
from support.builders import config_document, tenant_config, vendor_document
from support.config_documents import changed, faults_of

P = "vendors.0.parser."
Format = Literal["json", "yaml"]


def refused(load: Callable[[], object]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load()
    return caught.value


# --- how many of each ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "entries", "most"),
    [
        (
            "vendors",
            lambda n: [vendor_document(f"v{place}") for place in range(n)],
            200,
        ),
        (f"{P}timestamp_formats", lambda n: ["%d.%m.%Y"] * n, 20),
        (
            f"{P}null_values",
            lambda n: [f"null {place}" for place in range(n)],
            200,
        ),
        (
            f"{P}quantity_words",
            lambda n: {f"word {place}": place for place in range(n)},
            200,
        ),
        (
            f"{P}currency_symbols",
            lambda n: [f"C{place}" for place in range(n)],
            50,
        ),
        (
            f"{P}columns",
            lambda n: [f"column {place}" for place in range(n)],
            1_000,
        ),
    ],
)
def test_a_list_of_too_many_entries_is_a_fault_with_its_path(
    path: str, entries: Callable[[int], Any], most: int
) -> None:
    load_config(changed(path, entries(most)))
    assert faults_of(changed(path, entries(most + 1))) == {
        path: f"has {most + 1:,} entries; the limit is {most:,}"
    }


def test_the_vendors_of_a_config_are_as_many_as_the_setting_says() -> None:
    document = config_document(
        *(vendor_document(f"v{place}") for place in range(3))
    )
    assert len(load_config(document, Limits(vendors=3)).vendors) == 3
    (fault,) = refused(lambda: load_config(document, Limits(vendors=2))).faults
    assert fault == ConfigFault("vendors", "has 3 entries; the limit is 2")


def test_a_stored_config_is_taken_as_it_is() -> None:
    parser = {
        "timestamp_formats": ["%d.%m.%Y"] * 30,
        "null_values": ["x" * 600] * 900,
    }
    more_vendors = (vendor_document(f"v{place}") for place in range(200))
    document = config_document(
        vendor_document("large", parser=parser), *more_vendors
    )
    config = load_stored_config(json.dumps(document))
    assert (
        len(config.vendors),
        len(config.vendors[0].parser.timestamp_formats),
    ) == (
        201,
        30,
    )


# --- how large ----------------------------------------------------------------------------------


def sized(size: int) -> dict[str, Any]:
    """Return a document of so many bytes as JSON without white space."""
    document = {"a": [1, 2.5, "ä b", {}], "b": ""}
    written = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return {**document, "b": "x" * (size - len(written.encode()))}


@pytest.mark.parametrize("indent", [None, 4])
def test_white_space_around_values_does_not_count_as_size(
    indent: int | None,
) -> None:
    def parse(size: int) -> object:
        text = json.dumps(sized(size), ensure_ascii=False, indent=indent)
        return parse_document(
            text, format="json", limits=Limits(config_bytes=300)
        )

    parse(300)
    error = refused(lambda: parse(301))
    assert (type(error), error.error_code) == (
        ConfigTooLargeError,
        "CONFIG_TOO_LARGE",
    )
    assert str(error) == (
        "the config has 301 bytes as JSON without white space; the limit is 300"
    )


def test_a_config_in_yaml_is_measured_as_json_with_what_its_aliases_repeat() -> (
    None
):
    def parse(text: str) -> object:
        return parse_document(
            text, format="yaml", limits=Limits(config_bytes=300)
        )

    parse(f"# {'comment ' * 100}\na: {'x' * 292}")
    assert isinstance(
        refused(lambda: parse(f"a: {'x' * 293}")), ConfigTooLargeError
    )
    repeated = f"a: &a {'x' * 100}\nb: [*a, *a, *a]"
    assert isinstance(refused(lambda: parse(repeated)), ConfigTooLargeError)


def test_a_config_of_the_largest_size_is_loaded() -> None:
    document = config_document(vendor_document(parser={"null_values": [""]}))
    written = json.dumps(document, separators=(",", ":"))
    document["vendors"][0]["parser"]["null_values"] = [
        "x" * (390_000 - len(written))
    ]
    load_config(parse_document(json.dumps(document), format="json"))
    document["vendors"][0]["parser"]["null_values"][0] += "x"
    too_long = json.dumps(document)
    assert isinstance(
        refused(lambda: parse_document(too_long, format="json")),
        ConfigTooLargeError,
    )


def nested(levels: int) -> dict[str, Any]:
    document: Any = "x"
    for level in range(levels):
        document = (
            {"a": document} if level % 2 or level == levels - 1 else [document]
        )
    return document


@pytest.mark.parametrize("form", ["json", "yaml", "objects"])
def test_a_config_has_at_most_20_levels(
    form: Format | Literal["objects"],
) -> None:
    def parse(levels: int) -> object:
        if form == "objects":
            return plain_document(nested(levels))
        return parse_document(json.dumps(nested(levels)), format=form)

    parse(20)
    assert "nested deeper than 20 levels" in str(refused(lambda: parse(21)))


def test_levels_that_an_alias_repeats_count() -> None:
    inner = "[" * 18 + "]" * 18
    parse_document(f"a: &a {inner}\nb: [*a]", format="yaml")
    error = refused(
        lambda: parse_document(f"a: &a {inner}\nb: [[*a]]", format="yaml")
    )
    assert "nested deeper than 20 levels" in str(error)


def test_brackets_in_a_text_are_no_levels_and_commas_no_values() -> None:
    text = "[{" * 100 + ',"\\' * 20_000
    assert parse_document(json.dumps({"a": text}), format="json") == {"a": text}


def many(count: int) -> dict[str, Any]:
    """Return a document of so many values, of which it is one, its mappings and lists others."""
    return {"a": [{}, [], {"b": "x,y"}, *range(count - 6)]}


@pytest.mark.parametrize("form", ["json", "yaml", "objects"])
def test_a_config_has_at_most_20000_values(
    form: Format | Literal["objects"],
) -> None:
    def parse(count: int) -> object:
        if form == "objects":
            return plain_document(many(count))
        return parse_document(json.dumps(many(count), indent=1), format=form)

    parse(20_000)
    assert "has more than 20,000 values" in str(refused(lambda: parse(20_001)))


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_text_that_is_far_too_long_is_not_decoded(form: Format) -> None:
    class Unread(bytes):
        def decode(self, *_: object) -> str:
            raise AssertionError("it was decoded")

    error = refused(
        lambda: parse_document(Unread(b" " * 8_000_001), format=form)
    )
    assert "is longer than 2,000,000 characters" in str(error)


# --- what is told -------------------------------------------------------------------------------


def test_a_hundred_faults_are_told_and_of_others_how_many() -> None:
    def faults(count: int) -> tuple[ConfigFault, ...]:
        columns = [f"no column {place}" for place in range(count)]
        return refused(
            lambda: load_config(changed("output.columns", columns))
        ).faults

    assert [fault.path for fault in faults(100)] == [
        f"output.columns.{n}" for n in range(100)
    ]
    assert len(faults(101)) == 101
    assert faults(101)[-1] == ConfigFault("", "... and 1 more")
    assert faults(5_000)[-1] == ConfigFault("", "... and 4900 more")


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_repeated_keys_are_told_like_other_faults(form: Format) -> None:
    repeating = ", ".join(
        f'"{place}": {{"a": 1, "a": 2}}' for place in range(150)
    )
    error = refused(lambda: parse_document(f"{{{repeating}}}", format=form))
    assert (len(error.faults), error.faults[-1]) == (
        101,
        ConfigFault("", "... and 50 more"),
    )


def test_a_quoted_text_is_cut_at_200_characters() -> None:
    path = "default_currency"
    for length, quoted in (
        (200, f'"{"x" * 200}" '),
        (201, f'"{"x" * 200}..." '),
    ):
        assert faults_of(changed(path, "x" * length))[path].startswith(quoted)


def test_hints_are_looked_for_as_far_as_faults_are_told() -> None:
    columns = [f"skv {place}" for place in range(3_000)]
    with mock.patch.object(
        refusals, "get_close_matches", return_value=[]
    ) as looked:
        faults_of(changed("output.columns", columns))
    assert looked.call_count == 100


def test_thousands_of_unknown_vendors_are_told_shortly() -> None:
    config = tenant_config(
        *(vendor_document(f"vendor_{place}") for place in range(200))
    )
    unknown = [f"vendro_{place}" for place in range(5_000)]
    with mock.patch.object(
        refusals, "get_close_matches", return_value=[]
    ) as looked:
        error = refused(lambda: config.selecting(["vendor_7", *unknown]))
    assert looked.call_count == 10
    listed = ", ".join(f"vendor_{place}" for place in range(10))
    assert error.faults[0] == ConfigFault(
        "vendors.1",
        f'the config has no vendor "vendro_0"; its vendors are {listed}, and 190 more',
    )
    assert error.faults[-1] == ConfigFault("", "... and 4900 more")


# --- what it costs ------------------------------------------------------------------------------


def with_entry(path: str, value: Any) -> str:
    return json.dumps(changed(path, value))


HOSTILE = {
    "nested 940 deep": lambda: (
        '{"x":' + "[" * 940 + ",".join(["0"] * 150_000) + "]" * 940 + "}"
    ),
    "one long key over repeated keys": lambda: (
        '{"'
        + "k" * 100_000
        + '":['
        + ",".join(['{"a":1,"a":2}'] * 3_000)
        + "]}"
    ),
    "long keys over nulls": lambda: (
        (
            "".join(f'{{"{"k" * 20_000}{n}":' for n in range(17))
            + f"[{','.join(['null'] * 9_000)}]"
        )
        + "}" * 17
    ),
    "unknown columns": lambda: with_entry(
        f"{P}column_map", {f"skv{place}": "x" for place in range(19_000)}
    ),
    "unknown sort rules": lambda: with_entry(
        "merge.best_offer.sort_by",
        [f"lowest{place}" for place in range(19_000)],
    ),
    "unknown keys": lambda: with_entry(
        "pricing", {f"k{place}": 0 for place in range(19_000)}
    ),
    "one long format": lambda: with_entry(
        f"{P}timestamp_formats", ["%Y-%m-%d" + "x" * 380_000]
    ),
    "formats": lambda: with_entry(
        f"{P}timestamp_formats", ["%d.%m.%Y"] * 19_000
    ),
    "long ids": lambda: with_entry(
        "vendors", [{"vendor_id": "😀" * 400}] * 200
    ),
}


@contextmanager
def counted_bytes() -> Iterator[list[int]]:
    """Yield a list that holds, afterwards, how many bytes were held at most."""
    held: list[int] = []
    tracemalloc.start()
    try:
        yield held
        held.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_refused_in_little_memory_and_few_words(
    name: str,
) -> None:
    text = HOSTILE[name]()
    with counted_bytes() as held:
        error = refused(
            lambda: load_config(parse_document(text, format="json"))
        )
    assert held[0] < 24 << 20
    assert (
        sum(
            len(f"{fault.path}{fault.message}".encode())
            for fault in error.faults
        )
        < 256 << 10
    )


def test_a_yaml_alias_bomb_of_long_texts_is_refused_in_little_memory() -> None:
    text = yaml.safe_dump({"a": "x" * 100_000}).replace("a: ", "a: &a ")
    text += f"b: [{', '.join(['*a'] * 15_000)}]\n"
    with counted_bytes() as held:
        assert isinstance(
            refused(lambda: parse_document(text, format="yaml")),
            ConfigTooLargeError,
        )
    assert held[0] < 24 << 20
