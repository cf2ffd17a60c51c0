"""RFC 3261 §25.1: tokens, quoted strings, lists and parameters."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as regex  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
import engine
import flows
import routing
import service
from engine.sip.auth import digest, digest_client, digest_server
from engine.sip.message import grammar, name_addr, parsing, uri, via
from engine.sip.message.grammar import (
    MAX_ELEMENTS,
    TOKEN,
    ParseError,
    check_host,
    check_port,
    excerpt,
    format_params,
    host_address,
    parse_params,
    quote,
    split_list,
    unquote,
)
from engine.sip.sdp import description as sdp
from engine.sip.sdp import fault, origin

TOKENS = st.from_regex(r"[A-Za-z0-9\-.!%*_+`'~]{1,12}", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))
HOSTILE = st.text(st.sampled_from('"<>\\;,=%@:?[] \t\r\n\0aA0.-/é\udcff') | st.characters(), max_size=60)


def test_token_is_matched_whole_3261_25_1() -> None:
    assert TOKEN.fullmatch("!interesting-Method0123456789_*+`.%indeed'~")
    for text in ("", "a b", "a;b", "a/b", 'a"', "é", "a\n"):
        assert not TOKEN.fullmatch(text)


def test_a_parse_error_carries_the_status_it_deserves() -> None:
    assert ParseError("x").status == 400
    assert ParseError("x", 488).status == 488
    assert isinstance(ParseError("x"), ValueError)


def test_an_excerpt_is_escaped_and_short() -> None:
    assert excerpt("a\r\nb\x1b[0m\udcff") == r"'a\r\nb\x1b[0m\udcff'"
    assert len(excerpt("x" * 100_000)) < 80


class TestSplitList:
    @pytest.mark.parametrize(
        ("text", "elements"),
        [
            ("a", ["a"]),
            (" a ,\tb,c ", ["a", "b", "c"]),
            ('"a, b" <sip:x>, <sip:y,z@h>;q=1', ['"a, b" <sip:x>', "<sip:y,z@h>;q=1"]),
            (r'"a\", b", c', [r'"a\", b"', "c"]),
            (r'"a\\", c', [r'"a\\"', "c"]),
            ('"<", ">"', ['"<"', '">"']),
            ("<sip:a>", ["<sip:a>"]),
        ],
    )
    def test_commas_in_quotes_and_brackets_separate_nothing_7_3_1(self, text: str, elements: list[str]) -> None:
        assert split_list(text) == elements

    @pytest.mark.parametrize("text", ["", " ", " \t"])
    def test_a_blank_value_is_an_empty_list_20_37(self, text: str) -> None:
        assert split_list(text) == []

    @pytest.mark.parametrize("text", [",", "a,", ",a", "a,,b", "a, ,b", '"a",', "<a>,,", "192.0.2.15;;,;,,"])
    def test_an_empty_element_is_an_error_4475_3_1_2_1(self, text: str) -> None:
        with pytest.raises(ParseError, match="empty element"):
            split_list(text)

    @pytest.mark.parametrize("text", ['"a', '"a\\"', 'a "', '"\x00"', '"a\nb"', 'x, "y\\'])
    def test_quotes_that_are_not_closed_are_an_error_4475_3_1_2_6(self, text: str) -> None:
        with pytest.raises(ParseError, match="quote"):
            split_list(text)

    @pytest.mark.parametrize("text", ["<a", "a>", "<a>>", "<<a>", ">", "<"])
    def test_brackets_that_are_not_closed_are_an_error(self, text: str) -> None:
        with pytest.raises(ParseError, match="bracket"):
            split_list(text)

    def test_the_number_of_elements_is_bounded(self) -> None:
        assert len(split_list(",".join("a" * MAX_ELEMENTS))) == MAX_ELEMENTS
        with pytest.raises(ParseError, match="more than"):
            split_list(",".join("a" * (MAX_ELEMENTS + 1)))

    @given(st.lists(TOKENS | TEXT.map(quote) | TOKENS.map(lambda token: f"<sip:{token},x>"), min_size=1))
    def test_what_is_joined_comes_apart_again(self, elements: list[str]) -> None:
        assert split_list(" , ".join(elements)) == elements


class TestParams:
    @pytest.mark.parametrize(
        ("text", "params"),
        [
            ("", {}),
            ("  ", {}),
            (";a=b;c", {"a": "b", "c": None}),
            (";TAG=aBc;Lr", {"tag": "aBc", "lr": None}),
            (" ;  tag    = 1918181833n\t; x", {"tag": "1918181833n", "x": None}),
            (';text="a;b, \\"c\\""', {"text": r'"a;b, \"c\""'}),
            (';a="x" ;b=y', {"a": '"x"', "b": "y"}),
            (";received=2001:db8::9:255;b=[::1]", {"received": "2001:db8::9:255", "b": "[::1]"}),
            (";tag=a+b/c==", {"tag": "a+b/c=="}),
            (";fromParam''~+*_!.-%=\"\u0440\u0430\"", {"fromparam''~+*_!.-%": '"\u0440\u0430"'}),
        ],
    )
    def test_names_are_lower_case_and_values_as_written_7_3_1(self, text: str, params: dict[str, str | None]) -> None:
        assert parse_params(text) == params

    @pytest.mark.parametrize(
        "text",
        [
            ";",
            ";;",
            ";a;",
            ";a;;b",
            ";a=",
            ";a= ;b",
            ";=b",
            "a=b",
            ";a b",
            ";a=b c",
            ';a="b',
            ';a="b"c',
            ";a=<b>",
            ";é",
        ],
    )
    def test_stray_separators_and_empty_values_are_errors_4475_3_1_2_1(self, text: str) -> None:
        with pytest.raises(ParseError):
            parse_params(text)

    def test_a_question_mark_is_in_no_value_20_10(self) -> None:
        with pytest.raises(ParseError):
            parse_params(";a=b?c")

    @pytest.mark.parametrize("text", [";lr;lr", ";a=b;A=b", ";a=b ; a=b", ';a="x";a="x"'])
    def test_a_parameter_may_be_repeated_but_not_contradicted(self, text: str) -> None:
        assert len(parse_params(text)) == 1

    @pytest.mark.parametrize("text", [";tag=a;tag=b", ";a;a=b", ";tag=a ;tag=b", ';a="x";a="y"'])
    def test_two_tags_are_an_error_and_not_a_choice(self, text: str) -> None:
        with pytest.raises(ParseError, match="twice"):
            parse_params(text)

    @pytest.mark.parametrize("between", [";", " ;"])
    def test_the_number_of_parameters_is_bounded(self, between: str) -> None:
        assert len(parse_params("".join(f"{between}p{n}" for n in range(MAX_ELEMENTS)))) == MAX_ELEMENTS
        with pytest.raises(ParseError, match="more than"):
            parse_params(f"{between}p" * (MAX_ELEMENTS + 1))

    @given(st.dictionaries(TOKENS.map(str.lower), st.none() | TOKENS | TEXT.map(quote)))
    def test_what_is_written_is_read_again(self, params: dict[str, str | None]) -> None:
        assert parse_params(format_params(params)) == params


class TestQuotedStrings:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ('""', ""),
            ('"a"', "a"),
            (r'"J Rosenberg \\\""', 'J Rosenberg \\"'),
            (r'"\\\\a\\"', r"\\a" + "\\"),
            (r'"\a\b"', "ab"),
            ('"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f"', "BEL:\x07 NUL:\x00 DEL:\x7f"),
            ('"%Z%45"', "%Z%45"),
            ("plain", "plain"),
            ('"', '"'),
            ('"a"b"', '"a"b"'),
            ('"a\\"', '"a\\"'),
        ],
    )
    def test_quoted_pairs_are_undone_and_percents_are_not_4475_3_1_1_5(self, written: str, meant: str) -> None:
        assert unquote(written) == meant

    def test_a_quoted_string_can_not_hold_a_line_end(self) -> None:
        assert quote("a\r\nVia: x\ry") == '"a  Via: x y"'

    @given(TEXT)
    def test_quoting_is_undone_by_unquoting(self, text: str) -> None:
        assert unquote(quote(text)) == text
        assert split_list(quote(text)) == [quote(text)]

    def test_bytes_that_are_no_utf_8_survive(self) -> None:
        assert quote("\udcff") == '"\udcff"'
        assert unquote('"\udcff"') == "\udcff"


class TestHosts:
    def test_names_and_addresses_in_lower_case(self) -> None:
        assert check_host("Example.COM") == "example.com"
        assert check_host("[2001:DB8::1]") == "[2001:db8::1]"

    def test_brackets_hold_an_ipv6_address(self) -> None:
        for host in ("[::1::2]", "[1.2.3.4]", "[12345::]", "[:]", "[1:2:3]"):
            with pytest.raises(ParseError):
                check_host(host)

    def test_three_colons_are_read_as_two_5118_4_9(self) -> None:
        assert check_host("[2001:db8:::192.0.2.1]") == "[2001:db8:::192.0.2.1]"
        assert host_address("[2001:db8:::192.0.2.1]") == "2001:db8::192.0.2.1"

    def test_an_address_loses_its_brackets_only(self) -> None:
        assert [host_address(host) for host in ("[::1]", "::1", "h", "")] == ["::1", "::1", "h", ""]

    def test_ports_end_at_65535(self) -> None:
        assert check_port("65535") == 65535
        with pytest.raises(ParseError):
            check_port("65536")


@given(HOSTILE)
def test_any_text_raises_nothing_but_parse_errors(text: str) -> None:
    unquote(text)
    quote(text)
    for parse in (split_list, parse_params):
        try:
            parse(text)
        except ParseError as error:
            assert error.status == 400


def repeats(parsed: Any, inside: bool = False) -> Iterator[bool]:
    """For every repeat without end that may give back what it took: whether it stands inside another one."""
    for code, argument in parsed:
        unbounded = code in (codes.MAX_REPEAT, codes.MIN_REPEAT) and argument[1] is codes.MAXREPEAT
        if unbounded:
            yield inside
        for part in argument if isinstance(argument, tuple | list) else [argument]:
            nested = part if isinstance(part, list) else [part]
            for item in nested:
                if isinstance(item, regex.SubPattern):
                    yield from repeats(item, inside or unbounded)


def test_the_check_below_sees_what_it_is_to_see() -> None:
    assert list(repeats(regex.parse("(?:a+)+"))) == [False, True]
    assert list(repeats(regex.parse("(?:a|(b*))*+"))) == [False]
    assert not any(repeats(regex.parse("(?:a++|b)*+c+d+")))


@pytest.mark.parametrize(
    "module",
    [grammar, uri, name_addr, via, sdp, fault, origin, digest, digest_server, parsing],
    ids=lambda module: module.__name__,
)
def test_no_pattern_can_go_back_through_a_repeat_of_repeats(module: ModuleType) -> None:
    patterns = [value for value in vars(module).values() if isinstance(value, re.Pattern)]
    assert patterns
    for pattern in patterns:
        assert not any(repeats(regex.parse(pattern.pattern, pattern.flags))), pattern.pattern


def possessive_groups(parsed: Any) -> Iterator[str]:
    """The possessive repeats of anything but one character, and the atomic groups."""
    for code, argument in parsed:
        if code is codes.ATOMIC_GROUP:
            yield "atomic group"
        if code is codes.POSSESSIVE_REPEAT and [item[0] for item in argument[2]] not in ONE_CHARACTER:
            yield "possessive repeat of a group"
        for part in argument if isinstance(argument, tuple | list) else [argument]:
            for item in part if isinstance(part, list) else [part]:
                if isinstance(item, regex.SubPattern):
                    yield from possessive_groups(item)


ONE_CHARACTER = ([codes.LITERAL], [codes.NOT_LITERAL], [codes.IN], [codes.ANY])


def patterns_in_calls(source: str) -> Iterator[str]:
    """The patterns that a module hands to `re` where it stands; what an f-string fills in is left out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            pattern = node.args[0]
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "re":
                parts = pattern.values if isinstance(pattern, ast.JoinedStr) else [pattern]
                yield "".join(_text(part.value) if isinstance(part, ast.Constant) else "x" for part in parts)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def test_the_search_below_finds_what_it_is_to_find() -> None:
    for pattern in ("(?:ab)++", "(?:ab?c)*+", "(a)?+", "(?:a|bc){2,3}+", "(?>a)", "x|(?:y(?=(?>ab)))"):
        assert list(possessive_groups(regex.parse(pattern))), pattern
    assert not list(possessive_groups(regex.parse(r"[ab]++c*+.?+\d{1,3}+[^x]*+(?:ab)*(?:c|)")))
    assert list(patterns_in_calls('re.compile(rf"a{b}+") or re.sub("c", d) or re.compile(rb"e")')) == ["ax+", "c", "e"]


@pytest.mark.parametrize("package", [config, engine, flows, routing, service], ids=lambda package: package.__name__)
def test_no_group_is_possessive_or_atomic(package: ModuleType) -> None:
    """Python before 3.11.5 matches them wrongly, and Debian 12 has 3.11.2: CPython gh-106052 and gh-100061. There
    `(?:=[a-z]++)?+` keeps the "=" of `a=`, and a peer's nonsense is taken for a value. One character may be possessive.
    """
    patterns: list[tuple[str, str | bytes]] = []
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        patterns += [(found.name, value.pattern) for value in vars(module).values() if isinstance(value, re.Pattern)]
        patterns += [(found.name, pattern) for pattern in patterns_in_calls(inspect.getsource(module))]
    assert patterns
    for name, pattern in patterns:
        assert not list(possessive_groups(regex.parse(pattern))), (name, pattern)


@pytest.mark.parametrize(
    "unit", ["<", '"', "\\", ";", "%", ",", " ", "a,", ";a", " ;a", "%41", '"\\', "<>", "a.", "\0", '\\"']
)
def test_64_kilobytes_of_anything_are_refused_or_read(unit: str) -> None:
    for start in ("", '"', "<sip:", "sip:a@h;", "SIP/2.0/UDP h;", "Digest a="):
        text = start + unit * (65_536 // len(unit))
        for parse in (
            *(split_list, parse_params, unquote, quote, uri.parse_uri, name_addr.NameAddr.parse, via.Via.first),
            *(lambda value: name_addr.parse_name_addrs([value]), lambda value: digest_client.parse_challenges([value])),
        ):
            try:
                result = parse(text)
            except ParseError as error:
                assert len(str(error)) < 500
            else:
                assert not isinstance(result, list | dict) or len(result) <= MAX_ELEMENTS
