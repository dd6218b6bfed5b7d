from __future__ import annotations

import json
import time
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.config.documents import parse_document
from relay_core.config.plain_values import plain_document
from relay_core.config.scalars import BareWord, NumberText
from relay_core.domain.errors import ConfigError, ConfigFault


def faults_of(
    text: str | bytes, kind: Literal["json", "yaml"] = "yaml"
) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, format=kind)
    return [(fault.path, fault.message) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "text",
    [
        "0.20",
        "1e-1",
        "-0",
        "1E+400",
        "12345678901234567890",
        "0.1000000000000000000000000001",
    ],
)
def test_a_json_number_keeps_its_source_text(text: str) -> None:
    value = parse_document(f'{{"a": {text}}}', format="json")["a"]
    assert (type(value), value) == (NumberText, text)


@pytest.mark.parametrize(
    "text",
    [
        "007",
        "0.20",
        "1_000",
        "0x1F",
        "0b11",
        "12:30:00",
        "1.5e+3",
        ".5",
        "+5",
        ".inf",
        "-.inf",
        ".NaN",
    ],
)
def test_a_yaml_number_keeps_its_source_text(text: str) -> None:
    value = parse_document(f"a: {text}", format="yaml")["a"]
    assert (type(value), value) == (NumberText, text)


@pytest.mark.parametrize(
    "text", ["2020-01-01", "2020-01-01 10:00:00", "1e-1", "'no'", "!!str 5"]
)
def test_other_plain_yaml_is_text(text: str) -> None:
    value = parse_document(f"a: {text}", format="yaml")["a"]
    assert (type(value), value) == (str, text.strip("'").removeprefix("!!str "))


@pytest.mark.parametrize(
    ("written", "text"), [("! 5", "5"), ("! no", "no"), ("!", "")]
)
def test_a_yaml_scalar_without_a_tag_of_its_own_is_text(
    written: str, text: str
) -> None:
    assert parse_document(f"a: {written}", format="yaml") == {"a": text}


def test_a_later_anchor_takes_the_name_of_an_earlier_one() -> None:
    document = parse_document(
        "a: &x 1\nb: [*x, &x [2], *x]\nc: *x", format="yaml"
    )
    assert document == {"a": 1, "b": [1, [2], [2]], "c": [2]}


def test_a_plain_integer_is_an_int_in_both() -> None:
    assert parse_document('{"a": -12}', format="json") == {"a": -12}
    assert type(parse_document("a: 12", format="yaml")["a"]) is int


def test_an_anchor_inside_an_anchored_value_takes_its_name() -> None:
    document = parse_document("a: &x [&x 1, 2]\nb: *x", format="yaml")
    assert document == {"a": [1, 2], "b": 1}


def test_a_repeated_key_of_a_merged_mapping_is_named_with_the_place_of_the_merge() -> (
    None
):
    assert faults_of("a:\n  <<: [{b: 1, b: 2}]") == [
        (
            "a",
            'line 2, column 15: the key "b" appears more than once; keep only one',
        ),
    ]


def test_yaml_keys_keep_the_text_that_they_are_written_as() -> None:
    document = parse_document(
        "no: 1\n007: 2\n10: 3\n2020-01-01: 4\n~: 5\n'yes': 6", format="yaml"
    )
    assert list(document) == ["no", "007", "10", "2020-01-01", "~", "yes"]
    assert [key for key in document if isinstance(key, BareWord)] == ["no", "~"]


def test_aliases_and_merge_keys_work_and_own_keys_win() -> None:
    text = "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: {c: 4, <<: [*x, {b: 9, z: 5}]}\nf: *x"
    document = parse_document(text, format="yaml")
    assert document["d"] == {"b": 1, "c": 3}
    assert document["e"] == {"b": 1, "c": 4, "z": 5}
    assert document["f"] == document["a"]


def test_every_repeated_key_is_named_with_its_place() -> None:
    assert faults_of("a: 1\nb:\n - {c: 1, c: 2}\na: 2") == [
        (
            "b.0",
            'line 3, column 11: the key "c" appears more than once; keep only one',
        ),
        (
            "",
            'line 4, column 1: the key "a" appears more than once; keep only one',
        ),
    ]
    assert faults_of('{"a": 1, "b": [{"c": 1, "c": 1}], "a": 2}', "json") == [
        ("", 'the key "a" appears more than once; keep only one'),
        ("b.0", 'the key "c" appears more than once; keep only one'),
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: b: c", "line 1, column 5: "),
        ("a: 1\nb:\n\tc: 1", "line 3, column 1: "),
        ("a: [1,\nb: 2", "line 2, column 5: "),
        ("a: 'x", "line 1, column 6: "),
        ("a: \x00", "line 1, column 4: "),
        ("a: *b", "line 1, column 4: the alias *b has no anchor before it"),
        (
            "a: &a [*a]",
            "line 1, column 8: the alias *a is inside the value that it refers to",
        ),
        (
            "a: 1\n---\nb: 1",
            "line 2, column 1: the file has more than one YAML document",
        ),
        ("a: !!python/name:os.system x", "line 1, column 4: the tag "),
        ("a: !mine [1]", "line 1, column 4: the tag !mine is not supported"),
        ("? [1]\n: 2", "line 1, column 3: a key must be text"),
        ("<<: 5", "line 1, column 5: << must be followed by a mapping"),
    ],
)
def test_malformed_yaml_is_one_fault_with_its_place(
    text: str, place: str
) -> None:
    ((path, message),) = faults_of(text)
    assert path == ""
    assert message.startswith(place)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,}', "line 1, column 9: the config is not valid JSON"),
        ('{"a":\n 01}', "line 2, column 3: the config is not valid JSON"),
        ("", "line 1, column 1: the config is not valid JSON"),
        (
            '{"a": NaN}',
            "the config is not valid JSON: NaN is not a JSON number",
        ),
        (
            '{"a": -Infinity}',
            "the config is not valid JSON: -Infinity is not a JSON number",
        ),
    ],
)
def test_malformed_json_is_one_fault_with_its_place(
    text: str, message: str
) -> None:
    ((path, found),) = faults_of(text, "json")
    assert path == ""
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "an empty file"),
        ("# x", "an empty file"),
        ("- a", "a list"),
        ("a", "text"),
        ("5", "a number"),
    ],
)
def test_a_text_that_is_no_mapping_says_what_it_is(
    text: str, kind: str
) -> None:
    assert faults_of(text) == [
        ("", f"the config must be a mapping of keys to values, not {kind}")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_bytes_are_decoded_by_their_byte_order_mark(encoding: str) -> None:
    assert parse_document("a: é".encode(encoding), format="yaml") == {"a": "é"}


def test_bytes_that_are_not_utf_8_are_one_fault() -> None:
    assert faults_of("a: é".encode("cp1252")) == [
        ("", "the config is not valid UTF-8 at byte 3; save the file as UTF-8")
    ]


def _bomb() -> str:
    names = "abcdefghi"
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [
        f"{name}: &{name} [{','.join(f'*{before}' for _ in range(10))}]"
        for before, name in pairwise(names)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        pytest.param(
            _bomb(), "yaml", "has more than 20,000 values", id="alias bomb"
        ),
        pytest.param("[" * 50_000, "yaml", "nested deeper", id="yaml lists"),
        pytest.param(
            "{a: " * 50_000, "yaml", "nested deeper", id="yaml mappings"
        ),
        pytest.param("- " * 50_000, "yaml", "nested deeper", id="yaml blocks"),
        pytest.param("[" * 19_000, "json", "nested deeper", id="json lists"),
        pytest.param(
            '{"a":' * 19_000, "json", "nested deeper", id="json objects"
        ),
        pytest.param(
            " " * 2_000_001, "json", "is longer than 2,000,000", id="long"
        ),
    ],
)
def test_a_monstrous_text_is_refused_at_once(
    text: str, kind: Literal["json", "yaml"], message: str
) -> None:
    started = time.perf_counter()
    ((_, found),) = faults_of(text, kind)
    assert message in found
    assert time.perf_counter() - started < 5


@given(st.text(max_size=60))
def test_any_text_gives_a_mapping_or_a_config_error(text: str) -> None:
    for kind in ("json", "yaml"):
        try:
            document = parse_document(text, format=kind)  # type: ignore[arg-type]
        except ConfigError:
            continue
        assert isinstance(document, dict)


_JSON = st.recursive(
    st.booleans()
    | st.integers()
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=5), _JSON, max_size=4
    )
)
def test_json_comes_back_as_it_was(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    parsed = parse_document(text, format="json")
    assert json.loads(json.dumps(parsed)) == _with_long_integers_as_text(
        document
    )


def _with_long_integers_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _with_long_integers_as_text(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_with_long_integers_as_text(item) for item in value]
    is_long = isinstance(value, int) and len(str(abs(value))) > 18
    return str(value) if is_long else value


# --- Python objects -----------------------------------------------------------------------------


def test_python_numbers_become_their_text_and_nulls_go() -> None:
    plain, faults = plain_document(
        {
            "a": 0.2,
            "b": Decimal("0.20"),
            "c": Decimal(5),
            "d": (1, 2.0),
            "e": None,
            "f": {"g": None},
            7: "x",
        }
    )
    assert faults == []
    assert plain == {
        "a": "0.2",
        "b": "0.20",
        "c": 5,
        "d": [1, "2.0"],
        "f": {},
        "7": "x",
    }


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        (
            {"a": float("nan")},
            "a",
            "is not a finite number of at most 2,466 digits",
        ),
        (
            {"a": [Decimal("Infinity")]},
            "a.0",
            "is not a finite number of at most 2,466 digits",
        ),
        (
            {"a": 10**5000},
            "a",
            "is not a finite number of at most 2,466 digits",
        ),
        (
            {"a": b"x"},
            "a",
            "has the type bytes; use text, numbers, booleans, lists or mappings",
        ),
        (
            {"a": {(1, 2): 3}},
            "a",
            "has the type tuple; use text, numbers, booleans, lists or mappings",
        ),
        (
            {"a": {1: 3, "1": 4}},
            "a",
            'the key "1" appears more than once; keep only one',
        ),
        (
            {"a": ["x", None]},
            "a.1",
            "is null; remove it from the list, or put it in quotes",
        ),
        (
            {"a": "\ud800"},
            "a",
            "contains half of a surrogate pair, which is not a character; delete it",
        ),
    ],
)
def test_what_cannot_stand_in_a_config_is_a_fault(
    document: dict[str, Any], path: str, message: str
) -> None:
    assert plain_document(document)[1] == [ConfigFault(path, message)]


def _endless() -> dict[str, Any]:
    document: dict[str, Any] = {}
    document["a"] = [document]
    return document


def test_an_endless_object_is_refused() -> None:
    with pytest.raises(ConfigError, match="nested deeper than 20 levels"):
        plain_document(_endless())
