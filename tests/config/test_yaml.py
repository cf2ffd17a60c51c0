"""YAML as plain data: the scalars of YAML 1.2, lines of fields, and a sentence for everything that is no such file."""

from pathlib import Path

import pytest

from config.faults import ConfigurationError
from config.yaml import Document


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Document.parse("f.yaml", text)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+15551234567", "+15551234567"),
        ("0015551234567", "0015551234567"),
        ("15551234567", 15551234567),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("0x10", "0x10"),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("1.2.3", "1.2.3"),
        ("127.0.0.1", "127.0.0.1"),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert Document.parse("f.yaml", f"key: {text}\n").data == {"key": value}


def test_keys_are_text_as_they_are_written() -> None:
    assert Document.parse("f.yaml", "1: a\nno: b\n").data == {"1": "a", "no": "b"}


def test_every_field_has_the_line_of_its_key() -> None:
    document = Document.parse("f.yaml", "a: 1\nb:\n  - x: 1\n    y: 2\n  - {x: 3,\n     y: 4}\n")
    assert document.line(("a",)) == 1
    assert document.line(("b",)) == 2
    assert document.line(("b", 0, "y")) == 4
    assert document.line(("b", 1, "y")) == 6
    assert document.place(("b", 1)) == "f.yaml:5"


def test_a_field_that_is_not_written_has_the_line_of_what_should_hold_it() -> None:
    document = Document.parse("f.yaml", "a: 1\nb:\n  - x: 1\n")
    assert document.line(("b", 0, "nothing")) == 3
    assert document.line(("b", 7)) == 2
    assert document.line(("nothing", 0)) == 1


def test_merge_keys_give_way_to_the_mappings_own() -> None:
    text = "base: &base {a: 1, b: 2}\nown:\n  b: 3\n  <<: *base\n"
    assert Document.parse("f.yaml", text).data["own"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "--- # nothing\n...\n", "null", "~\n", " \n\n", "%YAML 1.2\n---\n"]
)
def test_an_empty_file_holds_nothing(text: str) -> None:
    assert Document.parse("f.yaml", text).data is None


def test_nested_aliases_do_not_multiply() -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    data = Document.parse("f.yaml", "\n".join(lines)).data
    assert data["a59"][0] is data["a59"][1]


def test_every_duplicate_key_is_named_with_the_line_of_the_first() -> None:
    assert faults("a: 1\nb: {c: 1,\n c: 2}\na: 3\n") == [
        "f.yaml:4: a: given twice, first on line 1; keep one of the two",
        "f.yaml:3: b.c: given twice, first on line 2; keep one of the two",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a: [1\nb: 2",
            "f.yaml:2: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got ':'; "
            "check indentation, colons and quotes here",
        ),
        (
            "a: b: c",
            "f.yaml:1: not valid YAML: mapping values are not allowed here; check indentation, colons and quotes here",
        ),
        (
            "a: {key: #, b: 1}\nc: 2",
            "f.yaml:2: not valid YAML: while parsing a flow mapping, expected ',' or '}', but got ':'; "
            "a # begins a comment unless it is in quotes: look at line 1",
        ),
        (
            "a: {text: Hi ${name}}",
            "f.yaml:1: not valid YAML: while parsing a flow mapping, expected ',' or '}', but got '{'; "
            "put a text with ${ in quotes",
        ),
        ("a: &x [*x]", "f.yaml:1: a[0]: an alias inside its own anchor; write the value out"),
        (
            "a: !secret x",
            "f.yaml:1: a: a YAML tag is not understood here; write a plain value, in quotes if it begins with !",
        ),
        (
            "a: !!int x",
            "f.yaml:1: a: a YAML tag is not understood here; write a plain value, in quotes if it begins with !",
        ),
        ("\n[1, 2]: x", "f.yaml:2: a key must be a plain name; check indentation and brackets here"),
        ("a: 1\nb: \x07", "f.yaml:2: not valid YAML: the character U+0007 is not allowed; remove it"),
        ("[" * 3000, "f.yaml: nested too deeply; write it flatter"),
    ],
)
def test_what_is_no_yaml_is_reported_with_its_line(text: str, sentence: str) -> None:
    assert faults(text) == [sentence]


def test_a_missing_file_is_reported() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Document.read(Path("/nowhere/trunkline.yaml"))
    assert str(caught.value) == (
        "/nowhere/trunkline.yaml: cannot be read: No such file or directory; check the path and the permissions"
    )


def test_a_file_that_is_not_utf_8_is_reported_with_the_byte_and_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigurationError) as caught:
        Document.read(path)
    assert str(caught.value) == f"{path}:2: byte 0xe9 is not UTF-8; save the file as UTF-8"


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert Document.read(path).data == {"a": 1}
