"""Loading a configuration: what a good file gives, and the very sentence for each thing that can be wrong with one."""

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from config.faults import ConfigurationError
from config.loading import Configuration, load
from routing.identifiers import named_id

GOOD = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
providers:
  - {name: primary, hostname: "127.0.0.2:5080", tech_prefix: "1", tech_headers: {X-Account: "42"}}
routes:
  - {target: all, provider: primary, priority: 1}
numbers:
  - {number: "+15551234567", provider: primary, call_flow: hotline}
flows:
  - name: hotline
    actions:
      - {type: connect, option: {destinations: [{type: tel, target: "+821012345678"}]}}
"""

Load = Callable[..., Configuration]
Faults = Callable[..., list[str]]


@pytest.fixture
def read(tmp_path: Path) -> Load:
    def read(text: str, **environ: str) -> Configuration:
        path = tmp_path / "t.yaml"
        path.write_text(text)
        return load(path, environ)

    return read


@pytest.fixture
def faults(read: Load, tmp_path: Path) -> Faults:
    """The lines of a file's faults, its folder taken off."""

    def faults(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            read(text, **environ)
        return [str(fault).replace(f"{tmp_path}/", "") for fault in caught.value.faults]

    return faults


def test_names_become_the_ids_that_are_the_same_at_every_start(read: Load) -> None:
    configuration = read(GOOD)
    (provider,), (route,), (number,) = configuration.providers, configuration.routes, configuration.numbers
    assert provider.id == route.provider_id == number.provider_id == named_id("provider", "primary")
    assert number.call_flow_id == configuration.flows[0].id == named_id("flow", "hotline")
    assert provider.tech_headers == {"X-Account": "42"}
    assert configuration.warnings == []
    assert configuration.notices == []


def test_an_id_that_is_given_is_kept_and_referred_to(read: Load) -> None:
    flow_id = "11111111-1111-4111-8111-111111111111"
    text = GOOD.replace("- name: hotline", f"- name: hotline\n    id: {flow_id}")
    configuration = read(text)
    assert str(configuration.numbers[0].call_flow_id) == str(configuration.flows[0].id) == flow_id


@pytest.mark.parametrize("text", ["", "# sip: {}\n", "---", "---\n# nothing\n", "null\n", "~", "Null", "\ufeff\n"])
def test_an_empty_file_is_a_fault_that_says_what_to_write(read: Load, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert [str(fault).rpartition("/")[2] for fault in caught.value.faults] == [
        "t.yaml:1: the file is empty; write sections into it, such as sip: and numbers:, or {} for the defaults alone"
    ]


def test_an_empty_mapping_means_the_defaults(read: Load) -> None:
    settings = read("{}").settings
    assert settings.sip.listen == ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"]
    assert settings.sip.trusted_networks == ["127.0.0.1/32"]
    assert settings.sip.allow_guests
    assert settings.sip.max_call_duration == 4 * 3600
    assert (settings.sip.invite_rate.rate, settings.sip.invite_rate.burst) == (20, 50)
    assert (settings.api.listen, settings.api.admin_key) == ("127.0.0.1:8080", "")
    assert (settings.store, settings.redis, settings.node_name) == ("sqlite:///./trunkline.db", "", "")
    assert (settings.retention.calls, settings.retention.events) == (90 * 86400, 7 * 86400)
    assert (settings.log.level, settings.log.format) == ("info", "console")


def test_a_section_whose_lines_are_all_comments_means_the_defaults(read: Load) -> None:
    assert read("sip:\n  # listen: []\nproviders:\n").settings == read("{}").settings


def test_the_demo_is_in_order() -> None:
    configuration = load(Path(__file__).parents[2] / "config" / "demo.yaml", {})
    assert [number.number for number in configuration.numbers] == ["+15551234567", "+899100000001", "+899100000002"]
    assert [provider.name for provider in configuration.providers] == ["primary", "secondary"]
    assert configuration.warnings + configuration.notices == []


def test_routing_gets_its_settings(read: Load) -> None:
    told = read("sip: {allow_guests: false}\nnumbering: {default_country: US, strict: true}").routing_settings()
    assert not told.allow_guests
    assert told.trusted_networks == ("127.0.0.1/32",)
    assert (told.default_country, told.strict) == ("US", True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # unknown names
        ("sip:\n  lisen: []", "t.yaml:2: sip.lisen: unknown setting; did you mean listen?"),
        ("provider: []", "t.yaml:1: provider: unknown setting; did you mean providers?"),
        (
            "webhook: {xyz: 1}",
            "t.yaml:1: webhook.xyz: unknown setting; remove it, or use one of: allow_private",
        ),
        (
            "sip:\n  invite_rate:\n    brust: 5",
            "t.yaml:3: sip.invite_rate.brust: unknown setting; did you mean burst?",
        ),
        (
            "sip: {users: [{username: a, pasword: b, password: c}]}",
            "t.yaml:1: sip.users[0].pasword: unknown setting; did you mean password?",
        ),
        # wrong types
        (
            "sip:\n  max_calls: many",
            "t.yaml:2: sip.max_calls: must be a whole number, and is 'many'; write digits only",
        ),
        ("sip:\n  listen: udp://x", "t.yaml:2: sip.listen: must be a list, and is 'udp://x'; write its entries in [ ]"),
        ("sip: 5", "t.yaml:1: sip: must be an object, and is the number 5; write it as {name: value}"),
        (
            "sip: {allow_guests: maybe}",
            "t.yaml:1: sip.allow_guests: must be true or false, and is 'maybe'; write one of the two",
        ),
        ("store: 5", "t.yaml:1: store: must be text, and is the number 5; put it in quotes"),
        ("sip:\n  listen:\n", "t.yaml:2: sip.listen: has no value; write one or remove the line"),
        ("providers: 5", "t.yaml:1: providers: must be a list, and is the number 5; begin each entry with a dash"),
        ("numbers: [x]", "t.yaml:1: numbers[0]: must be a mapping, and is 'x'; write it as {name: value, …}"),
        ("[1, 2]", "t.yaml:1: the file must be a mapping; begin it with a section such as sip: or numbers:"),
        # wrong values
        (
            "log: {level: loud}",
            "t.yaml:1: log.level: must be one of 'debug', 'info', 'warning' or 'error', and is 'loud'; choose one",
        ),
        ("sip: {max_calls: 0}", "t.yaml:1: sip.max_calls: must be at least 1; write a larger number"),
        ("sip: {min_se: 60}", "t.yaml:1: sip.min_se: must be at least 90; write a larger number"),
        ("sip: {listen: []}", "t.yaml:1: sip.listen: must not be empty; add an entry"),
        (
            "sip: {listen: ['tls://127.0.0.1']}",
            "t.yaml:1: sip: tls://127.0.0.1: there is no certificate to show; write sip.tls.certificates: "
            "[{certificate: cert.pem, key: key.pem}], or remove the listener",
        ),
        ("sip: {listen: ['udp://h:1', 'udp://h:1']}", "t.yaml:1: sip.listen: 'udp://h:1' is listed twice; keep one"),
        (
            "sip: {advertise: 'sip:me'}",
            "t.yaml:1: sip.advertise: 'sip:me' is a URI; "
            "write the host alone, such as sip.example.com, and leave out the scheme",
        ),
        (
            "sip: {trusted_networks: [10.0.0.1/8]}",
            "t.yaml:1: sip.trusted_networks: '10.0.0.1/8' has bits set after its prefix; write 10.0.0.0/8",
        ),
        (
            "sip: {max_call_duration: long}",
            "t.yaml:1: sip.max_call_duration: is no duration; "
            "write seconds as a number, or a number with ms, s, m, h or d, such as 4h",
        ),
        (
            "sip: {rtp_ports: 20000}",
            't.yaml:1: sip.rtp_ports: is no port range; write FIRST-LAST within 1024 and 65535, such as "20000-29999"',
        ),
        (
            'sip: {user_agent: "a\\r\\nb"}',
            "t.yaml:1: sip.user_agent: holds characters that a User-Agent header may not; "
            "use letters, digits and .-_/ only",
        ),
        (
            "sip: {session_expires: 100, min_se: 120}",
            "t.yaml:1: sip: session_expires is below min_se; raise session_expires or lower min_se",
        ),
        ("sip: {t1: 5, t2: 4}", "t.yaml:1: sip: t2 is below t1; raise t2 or lower t1"),
        (
            "numbering: {default_country: Germany}",
            "t.yaml:1: numbering.default_country: 'Germany' is no country; "
            "write its two capital letters, such as US, or leave it empty",
        ),
        (
            "numbering: {international_prefixes: ['+']}",
            "t.yaml:1: numbering.international_prefixes: '+' is no dialling prefix; "
            'write one to five digits in quotes, such as "00"',
        ),
        (
            "numbering: {reserved_virtual_prefix: '+1'}",
            "t.yaml:1: numbering.reserved_virtual_prefix: '+1' is no virtual range; "
            'write +899 and up to nine digits, such as "+899000"',
        ),
        (
            "flows_module: a-b",
            "t.yaml:1: flows_module: 'a-b' is no module; write a dotted name or the path of a .py file",
        ),
        # resources
        ("providers: [{name: a}]", "t.yaml:1: providers[0].hostname: is missing; add it"),
        (
            "providers: [{hostname: h}]",
            "t.yaml:1: providers[0].name: the provider has no name; give it one, so that routes can name it",
        ),
        (
            "providers: [{name: a, hostnam: h, hostname: h}]",
            "t.yaml:1: providers[0].hostnam: unknown setting; did you mean hostname?",
        ),
        (
            "providers:\n  - {name: a, hostname: h}\n  - {name: a, hostname: h}",
            "t.yaml:3: providers[1].name: a is listed twice, first as entry 1; keep one",
        ),
        (
            "providers: [{name: a, hostname: h, tech_headers: {'X Y': 1}}]",
            "t.yaml:1: providers[0].tech_headers.X Y: must be text, and is the number 1; put it in quotes",
        ),
        (
            "providers: [{name: a, hostname: h, tech_headers: {Via: x}}]",
            "t.yaml:1: providers[0].tech_headers: header 'Via' belongs to the dialog and cannot be set; remove it",
        ),
        (
            "routes: [{target: all}]",
            "t.yaml:1: routes[0]: the route names no provider; write the name of one, such as provider: primary",
        ),
        (
            "routes: [{target: all, provider: x}]",
            "t.yaml:1: routes[0].provider: there is no provider named 'x'; there are none yet: add one",
        ),
        (
            "providers: [{name: a, hostname: h}]\nroutes:\n  - {provider: a}\n  - {provider: a}",
            "t.yaml:4: routes[1].target: this route to all is entry 1 again; remove one, or give it another priority",
        ),
        (
            "numbers:\n  - {number: '+15551234567', call_flow: hotlne}\nflows: [{name: hotline, actions: "
            "[{type: answer}]}]",
            "t.yaml:2: numbers[0].call_flow: there is no flow named 'hotlne'; use one of hotline",
        ),
        (
            "numbers:\n  - {number: '+15551234567'}\n  - {number: '+1 555 123 4567'}",
            "t.yaml:3: numbers[1].number: +15551234567 is listed twice, first as entry 1; keep one",
        ),
        (
            "numbers: [{number: 15551234567}]",
            "t.yaml:1: numbers[0].number: must be text, and is the number 15551234567; put it in quotes",
        ),
        (
            "flows: [{actions: [{type: answer}]}]",
            "t.yaml:1: flows[0].name: the flow has no name; give it one, so that numbers can name it",
        ),
        (
            "flows:\n  - {name: a, actions: [{type: answer}]}\n  - {name: a, actions: [{type: answer}]}",
            "t.yaml:3: flows[1].name: a is listed twice, first as entry 1; keep one",
        ),
        (
            "flows:\n  - name: a\n    actions:\n      - {type: answer}\n      - {type: sleep, option: {duration: x}}",
            "t.yaml:5: flows[0].actions[1].option.duration: must be a whole number, and is 'x'; write digits only",
        ),
        # environment
        ("redis: '${NOPE}'", "t.yaml:1: redis: the environment variable NOPE is not set; export it"),
        (
            "redis: '${no pe}'",
            "t.yaml:1: redis: ${ begins the name of an environment variable; "
            "close it with }, or write $${ for a plain ${",
        ),
    ],
)
def test_each_fault_is_one_line_with_its_place_and_what_to_do(faults: Faults, text: str, line: str) -> None:
    assert faults(text) == [line]


def test_a_header_name_that_is_no_token_is_refused(faults: Faults) -> None:
    (line,) = faults("providers:\n  - {name: a, hostname: h, tech_headers: {'X Y': z}}")
    assert line.startswith("t.yaml:2: providers[0].tech_headers: ")
    assert "'X Y'" in line


def test_all_faults_are_reported_at_once_by_line_and_those_of_the_environment_first(faults: Faults) -> None:
    text = "sip: {max_calls: x}\nlog: {level: y}\nproviders:\n  - {name: a}\nroutes:\n  - {provider: b}\nflows: [{}]\n"
    lines = faults(text, TRUNKLINE_SIP__NOPE="1")
    assert [line.split(" ")[0] for line in lines] == [
        "environment",
        "t.yaml:1:",
        "t.yaml:2:",
        "t.yaml:4:",
        "t.yaml:6:",
        "t.yaml:7:",
        "t.yaml:7:",
    ]


def test_a_provider_with_a_fault_is_not_missed_by_the_routes_that_name_it(faults: Faults) -> None:
    numbers = "numbers: [{number: '+15551234567', provider: a}]"
    text = f"providers: [{{name: a, hostname: 'h h'}}]\nroutes: [{{provider: a}}]\n{numbers}"
    (line,) = faults(text)
    assert line.startswith("t.yaml:1: providers[0].hostname: 'h h' holds more than a host")


def test_a_flow_with_a_fault_is_not_missed_by_the_numbers_that_name_it(faults: Faults) -> None:
    (line,) = faults("flows: [{name: a, actions: []}]\nnumbers: [{number: '+15551234567', call_flow: a}]")
    assert line == "t.yaml:1: flows[0].actions: must not be empty; add an entry"


def test_flows_may_name_each_other_in_any_order(read: Load) -> None:
    action = "{type: fetch_flow, option: {flow_id: %s}}"
    text = f"flows:\n  - {{name: a, actions: [{action % 'b'}]}}\n  - {{name: b, actions: [{{type: answer}}]}}"
    assert len(read(text).flows) == 2


def test_a_fault_among_the_actions_that_a_call_holds_names_the_action(faults: Faults) -> None:
    inner = "{type: call, option: {destinations: [{type: tel, target: '+15551234567'}], actions: [{type: nope}]}}"
    (line,) = faults(f"flows:\n  - name: a\n    actions: [{inner}]")
    assert line.startswith('t.yaml:2: flows[0]: flow "a, action 1 (call)", action 1 (nope')


def test_a_number_without_a_call_flow_is_a_warning(read: Load, tmp_path: Path) -> None:
    configuration = read("numbers:\n  - {number: '+15551234567'}\n  - {number: '+15551234568', status: suspended}")
    assert configuration.warnings == [
        f"{tmp_path}/t.yaml:2: numbers[0]: warning: +15551234567 has no call_flow and calls to it get 480; "
        "name one of the flows"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "api: {listen: '0.0.0.0:0', admin_key: '0123456789abcdef', request_rate: {rate: 0}}",
        "api: {listen: ''}",
        "api: {listen: '[::1]:8080'}",
        "store: ':memory:'",
        "store: sqlite:////var/lib/trunkline/trunkline.db",
        "store: postgresql://trunkline:secret@db.example/trunkline",
        "redis: rediss://:secret@redis.example:6380/1",
        "redis: unix:///run/redis.sock",
        "retention: {calls: 365d, events: 0}",
        "node_name: sip1",
    ],
)
def test_settings_of_the_api_and_the_store(read: Load, text: str) -> None:
    configuration = read(text)
    assert configuration.warnings + configuration.notices == []


def test_a_store_that_is_left_empty_is_in_memory(read: Load) -> None:
    assert read("store: ''").settings.store == ":memory:"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("api: {listen: '8080'}", "api.listen: '8080' is no address to listen at; write HOST:PORT"),
        ("api: {listen: 'example.com:80'}", "api.listen: 'example.com:80' is no address to listen at"),
        ("api: {listen: '127.0.0.1'}", "api.listen: '127.0.0.1' is no address to listen at"),
        ("api: {admin_key: tooshort}", "api.admin_key: is no access key; write 16 to 255"),
        ("api: {admin_key: 'sixteen letters with spaces'}", "api.admin_key: is no access key"),
        ("store: mysql://h/d", "store: is no database; write sqlite:///FILE"),
        ("store: trunkline.db", "store: is no database; write sqlite:///FILE"),
        ("redis: 'localhost:6379'", "redis: is no Redis server; write redis://HOST:PORT/0"),
        ('node_name: "a\\nb"', "node_name: holds a control character"),
    ],
)
def test_wrong_settings_of_the_api_and_the_store(faults: Faults, text: str, fault: str) -> None:
    (line,) = faults(text)
    assert line.startswith(f"t.yaml:1: {fault}"), line
    assert "tooshort" not in line


def test_strict_numbering_reaches_the_numbers(faults: Faults, read: Load) -> None:
    text = "numbers: [{number: '+15551234567', call_flow: a}]\nflows: [{name: a, actions: [{type: answer}]}]\n"
    assert read(text).numbers
    (line,) = faults(text + "numbering: {strict: true}")
    assert line.startswith("t.yaml:1: numbers[0].number: ")


def python_flows(module: str, directory: Path) -> Collection[str]:
    if module != "mine":
        raise ImportError(f"No module named {module!r}")
    return ["spoken"]


def test_flows_in_python_can_be_named_by_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("flows_module: mine\nnumbers: [{number: '+15551234567', call_flow: spoken}]\n")
    assert load(path, {}, python_flows).numbers[0].call_flow_id == named_id("flow", "spoken")


def test_a_flows_module_that_cannot_be_imported_and_a_name_used_twice_are_faults(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("flows_module: other\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path, {}, python_flows)
    assert str(caught.value) == f"{path}:1: flows_module: No module named 'other'; correct the module or its name"
    path.write_text("flows_module: mine\nflows: [{name: spoken, actions: [{type: answer}]}]\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path, {}, python_flows)
    assert str(caught.value) == (
        f"{path}:2: flows[0].name: spoken is registered by the flows_module too; rename one of the two"
    )


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_deny_file_that_is_none_is_a_fault(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "deny.txt").mkdir()
    path = tmp_path / "t.yaml"
    path.write_text("sip:\n  deny_file: deny.txt\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load(path, {})
    (fault,) = raised.value.faults
    assert str(fault).startswith(f"{path}:2: sip.deny_file: 'deny.txt' is no file; make it")


def test_a_deny_file_is_found_beside_the_configuration_or_by_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_text("no address\n", encoding="utf-8")  # which the engine will say, and skip
    for name in ("deny.txt", str(tmp_path / "deny.txt")):
        path = tmp_path / "t.yaml"
        path.write_text(f"sip: {{deny_file: {name}}}\n", encoding="utf-8")
        assert load(path, {}).deny_file == tmp_path / "deny.txt"
    path.write_text("sip: {}\n", encoding="utf-8")
    assert load(path, {}).deny_file is None


@pytest.mark.parametrize(
    ("proxy", "trusted", "named"),
    [
        ("10.0.0.5", "10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/24", "10.0.0.7", "10.0.0.7/32"),
        ("2001:db8::5", "2001:db8::/64", "2001:db8::/64"),
        ("10.0.0.5", "10.0.1.0/24", ""),
        ("2001:db8::5", "0.0.0.0/0", ""),
    ],
)
def test_an_edge_that_is_trusted_too_is_warned_of(tmp_path: Path, proxy: str, trusted: str, named: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(f'sip:\n  trusted_networks: ["{trusted}"]\n  proxies:\n    - "{proxy}"\n', encoding="utf-8")
    warnings = load(path, {}).warnings
    if named:
        said = f"{proxy} is in sip.trusted_networks ({named}) too: whoever calls through it may dial out"
        assert warnings == [f"{path}:4: sip.proxies[0]: warning: {said}; take it out of there"]
    else:
        assert warnings == []
