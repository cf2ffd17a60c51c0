"""Extensions in a configuration file: the list, users of older files, and what is said of them."""

from pathlib import Path
from typing import Any

import pytest

from config.faults import ConfigurationError
from config.loading import Configuration, load
from engine.sip.auth.digest import ha1_of_each
from routing.identifiers import named_id
from service.node_settings import extension_rows, extensions_of

ALICE = 'name: alice, password: "a long password"'
ACME, OTHER = named_id("customer", "acme"), named_id("customer", "other")


def read(tmp_path: Path, text: str, **environ: str) -> Configuration:
    path = tmp_path / "t.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ)


def faults(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, text, **environ)
    return [str(fault).partition("t.yaml:")[2] for fault in refused.value.faults]


def warnings(tmp_path: Path, text: str, **environ: str) -> list[str]:
    return [line.partition("t.yaml:")[2] for line in read(tmp_path, text, **environ).warnings]


def test_they_are_extensions_of_the_directory_with_what_stands_for_their_passwords(tmp_path: Path) -> None:
    text = """
sip: {realm: office}
flows: [{name: away, actions: [{type: hangup}]}]
numbers: [{number: "+15551234567", call_flow: away}]
extensions:
  - name: alice
    password: "${ALICE}"
    display_name: Alice Adams
    caller_id: "+1 555 123 4567"
    caller_ids: ["+15557654321"]
    max_contacts: 3
    max_calls: 2
    call_flow: away
    mailbox: "*97"
    status: suspended
    detail: on the second floor
  - {name: 101, password: "a long password"}
"""
    found = read(tmp_path, text, ALICE="very secret words")
    assert (found.warnings, found.notices) == ([], [])
    alice, desk = extensions_of(found)
    assert (alice.name, alice.id, alice.realm) == ("alice", named_id("extension", "alice"), "office")
    assert dict(alice.ha1) == ha1_of_each("alice", "office", "very secret words")
    assert (alice.display_name, alice.caller_id, alice.caller_ids) == ("Alice Adams", "+15551234567", {"+15557654321"})
    assert (alice.max_contacts, alice.max_calls, alice.mailbox, alice.active) == (3, 2, "*97", False)
    assert alice.call_flow_id == named_id("flow", "away")
    assert (desk.name, desk.max_contacts, desk.max_calls, desk.active) == ("101", 10, 4, True)
    assert desk.caller_ids == frozenset()
    assert "very secret words" not in repr(found) + repr(extension_rows(found)) + repr(alice)
    assert extension_rows(found)[0]["detail"] == "on the second floor"


def test_users_of_older_files_are_extensions_with_their_realm_and_whatever_name(tmp_path: Path) -> None:
    text = """
sip:
  users:
    - {username: "old user@home", password: "a long password", realm: before, max_calls: 1}
    - {username: bob, password: "another password", caller_ids: ["+15557654321"]}
extensions: [{name: alice, password: "a third password"}]
"""
    alice, old, bob = extensions_of(read(tmp_path, text))
    assert [row.realm for row in (alice, old, bob)] == ["trunkline", "before", "trunkline"]
    assert (old.name, old.max_calls, old.active) == ("old user@home", 1, True)
    assert dict(old.ha1) == ha1_of_each("old user@home", "before", "a long password")
    assert bob.caller_ids == {"+15557654321"}
    assert {row.id for row in (old, bob)} == {named_id("extension", name) for name in ("old user@home", "bob")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"extensions:\n  - {{{ALICE}}}\n  - {{{ALICE}}}\n",
            "3: extensions[1].name: alice is listed twice, first as entry 1 of extensions; keep one",
        ),
        (
            f"sip: {{users: [{{username: alice, password: b}}]}}\nextensions: [{{{ALICE}}}]\n",
            "1: sip.users[0].username: alice is listed twice, first as entry 1 of extensions; keep one",
        ),
        (
            "sip:\n  users:\n    - {username: a, password: b}\n    - {username: a, password: b}\n",
            "4: sip.users[1].username: a is listed twice, first as entry 1 of sip.users; keep one",
        ),
        (
            "extensions: [{name: +15551234567}]\n",
            "1: extensions[0].name: is no name of an extension: one begins with a letter or a digit and goes on with "
            "up to 63 of letters, digits and . _ -, such as alice or 101",
        ),
        (
            f"extensions: [{{{ALICE}, call_flow: nights}}]\n" + "flows: [{name: day, actions: [{type: hangup}]}]\n",
            "1: extensions[0].call_flow: there is no flow named 'nights'; use one of day",
        ),
        (
            f"extensions: [{{{ALICE}, max_contacts: 33}}]\n",
            "1: extensions[0].max_contacts: must be at most 32; write a smaller number",
        ),
        (
            f"extensions: [{{{ALICE}, realm: other}}]\n",
            "1: extensions[0].realm: unknown setting; remove it, or use one of: name, detail, tm_create, tm_update, "
            "tm_delete, id, customer_id, display_name, caller_id, caller_ids, max_contacts, max_calls, call_flow_id, "
            "mailbox, status, password, call_flow",
        ),
        (
            "extensions: [{name: alice, pasword: x}]\n",
            "1: extensions[0].pasword: unknown setting; did you mean password?",
        ),
        (
            f"extensions: [{{{ALICE}, customer_id: {ACME}, caller_id: '+15551234567'}}]\n"
            f"numbers: [{{number: '+15551234567', customer_id: {OTHER}}}]\n",
            f"1: extensions[0].caller_id: +15551234567 belongs to customer {OTHER}; write one of "
            "the extension's customer",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    assert faults(tmp_path, text) == [said]


def test_a_password_stands_in_no_fault(tmp_path: Path) -> None:
    (said,) = faults(tmp_path, 'extensions: [{name: alice, password: ["hush hush"]}]\n')
    assert "hush" not in said
    (said,) = faults(tmp_path, 'extensions: [{name: alice, password: "${A}\\n"}]\n', A="hush hush")
    assert "hush" not in said
    (said,) = faults(tmp_path, 'extensions: [{name: alice, password: "${NOT_THERE}"}]\n')
    assert said == "1: extensions[0].password: the environment variable NOT_THERE is not set; export it"


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("", "there is none"),
        ("alice2000", "is the name of the extension"),
        ("0002ECILA", "is the name of the extension"),
        ("alice2000alice2000", "is the name of the extension"),
        ("x7!kP", "has less than 8 characters"),
        ("Password1", "is among those that are guessed first of all"),
        ("aabbabab", "is among those that are guessed first of all"),
    ],
)
def test_a_weak_password_is_worth_a_warning_that_does_not_show_it(tmp_path: Path, password: str, problem: str) -> None:
    (said,) = warnings(tmp_path, 'extensions: [{name: alice2000, password: "${A}"}]\n', A=password)
    assert said.startswith(f"1: extensions[0].password: warning: {problem}")
    assert not password or password not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('extensions: [{name: "112", password: "a long password"}]', "1: extensions[0].name: warning: 112"),
        (
            'extensions: [{name: "999", password: "a long password"}]\nnumbering: {default_country: GB}',
            "1: extensions[0].name: warning: 999",
        ),
        ('sip: {users: [{username: "911", password: "a long password"}]}', "1: sip.users[0].username: warning: 911"),
    ],
)
def test_a_name_that_is_an_emergency_number_is_worth_a_warning(tmp_path: Path, text: str, said: str) -> None:
    (line,) = warnings(tmp_path, text)
    assert line == f"{said} is an emergency number: who dials it does not reach this extension; choose another name"


def test_names_that_are_digits_and_no_emergency_number_are_worth_none(tmp_path: Path) -> None:
    assert not warnings(tmp_path, 'extensions: [{name: "101", password: "a long password"}]')
    other = "numbering: {default_country: GB}"
    assert not warnings(tmp_path, f'extensions: [{{name: "110", password: "a long password"}}]\n{other}')


def test_a_space_that_is_missing_behind_a_colon_is_named(tmp_path: Path) -> None:
    said = faults(tmp_path, "extensions: [{name:alice, password:hush}]")
    assert "1: extensions[0].name: is missing; add it" in said
    assert [line for line in said if line.endswith("a space is missing behind name:; put one there")]
    assert not [line for line in said if "use one of" in line]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "extensions: [{name: alice, password:hush}]",
            "extensions[0].password:(hidden): a space is missing behind pass",
        ),
        (
            "extensions: [{name: alice, pasword:hush}]",
            "extensions[0].pasword:(hidden): unknown setting; did you mean pa",
        ),
        ("extensions: [{name: alice, pin:hush}]", "extensions[0].pin:(hidden): unknown setting; remove it"),
        (
            "extensions: [{name: alice, password=hush}]",
            "extensions[0].password=(hidden): unknown setting; did you mean",
        ),
        (
            "extensions: [{name: alice, password hush}]",
            "extensions[0].password (hidden): unknown setting; did you mean",
        ),
        (
            "extensions: [{name: alice, password:hush: , password:hush: }]",
            "extensions[0].password:(hidden): given twice",
        ),
        ("extensions:\n  - name:alice\n    password:hush", "extensions[0]: must be a mapping, and is a text"),
        ("extensions: password:hush", "extensions: must be a list, and is a text"),
        ("sip: {users: [username:bob password:hush]}", "sip.users[0]: must be an object, and is a text"),
        ("sip: password:hush", "sip: must be an object, and is a text"),
        ("providers: [{name: a, hostname: 192.0.2.1, tls: {password:hush}}]", ".tls.password:(hidden): "),
        ("api: {admin_key:hush}", "api.admin_key:(hidden): "),
        (
            "flows: [{name: a, actions: [{type: answer, option: {password:hush}}]}]",
            "option.password:(hidden): is not kno",
        ),
        (
            "flows: [{name: a, password:hush, actions: [{type: answer}]}]",
            "password:(hidden): is not known to a flow; remo",
        ),
        ("extensions: [{name: alice, password: *hush}]", "not valid YAML: found undefined alias"),
        ("extensions: [{name: alice, password: !hush }]", "extensions[0].password: a YAML tag is not understood here"),
        (
            "extensions: [{name: alice, password: !hush!x }]",
            "not valid YAML: while parsing a node, found undefined tag",
        ),
    ],
)
def test_a_value_that_ran_into_its_key_is_not_repeated(tmp_path: Path, text: str, said: str) -> None:
    lines = faults(tmp_path, text)
    assert [line for line in lines if said in line], lines
    assert "hush" not in "".join(lines)


def test_nor_is_one_that_a_variable_brings(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, "{}", TRUNKLINE_EXTENSIONS='[{"name": "alice", "password:hush": ""}]')
    assert "extensions[0].password:(hidden): " in str(refused.value)
    assert "hush" not in str(refused.value)


def test_without_a_password_nobody_logs_in(tmp_path: Path) -> None:
    (alice,) = extensions_of(read(tmp_path, "extensions: [{name: alice}]\n"))
    assert dict(alice.ha1) == {}


def test_providers_are_told_no_number_of_one_without_a_caller_id(tmp_path: Path) -> None:
    more: dict[str, Any] = {"provider": "providers: [{name: a, hostname: 192.0.2.1}]\n"}
    (said,) = warnings(tmp_path, f"extensions: [{{{ALICE}}}]\n{more['provider']}")
    assert said == (
        "1: extensions[0]: warning: alice has no caller_id: providers are told no number of its calls; give it one"
    )
    assert not warnings(tmp_path, f"extensions: [{{{ALICE}}}]\n")
    assert not warnings(tmp_path, f"extensions: [{{{ALICE}, max_calls: 0}}]\n{more['provider']}")
