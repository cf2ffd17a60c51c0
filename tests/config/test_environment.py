"""Overrides from environment variables, secrets in the file, and that no message repeats a secret."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.faults import ConfigurationError
from config.loading import Configuration, load

Load = Callable[..., Configuration]


@pytest.fixture
def read(tmp_path: Path) -> Load:
    def read(text: str, **environ: str) -> Configuration:
        path = tmp_path / "t.yaml"
        path.write_text(text)
        return load(path, environ)

    return read


def complaint(read: Load, text: str, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(text, **environ)
    return str(caught.value)


def test_an_override_goes_before_the_file(read: Load) -> None:
    configuration = read("sip: {max_calls: 5, user_agent: x}", TRUNKLINE_SIP__MAX_CALLS="7")
    assert (configuration.settings.sip.max_calls, configuration.settings.sip.user_agent) == (7, "x")


@pytest.mark.parametrize(
    "value", ["udp://127.0.0.1:1, tcp://127.0.0.1:2", '["udp://127.0.0.1:1", "tcp://127.0.0.1:2"]']
)
def test_lists_are_json_or_separated_by_commas(read: Load, value: str) -> None:
    settings = read("{}", TRUNKLINE_SIP__LISTEN=value).settings
    assert settings.sip.listen == ["udp://127.0.0.1:1", "tcp://127.0.0.1:2"]


def test_an_empty_list_is_empty(read: Load) -> None:
    assert read("{}", TRUNKLINE_SIP__TRUSTED_NETWORKS="").settings.sip.trusted_networks == []


def test_booleans_durations_and_top_level_settings(read: Load) -> None:
    settings = read(
        "{}",
        TRUNKLINE_SIP__ALLOW_GUESTS="false",
        TRUNKLINE_SIP__MAX_CALL_DURATION="90m",
        TRUNKLINE_STORE=":memory:",
        TRUNKLINE_SIP__RTP_PORTS="30000-30009",
    ).settings
    assert not settings.sip.allow_guests
    assert settings.sip.max_call_duration == 5400
    assert settings.sip.rtp_ports == (30000, 30009)


def test_a_member_goes_before_its_section(read: Load) -> None:
    rate = read(
        "{}", TRUNKLINE_SIP__INVITE_RATE='{"rate": 5, "burst": 6}', TRUNKLINE_SIP__INVITE_RATE__RATE="9"
    ).settings.sip.invite_rate
    assert (rate.rate, rate.burst) == (9, 6)


def test_resource_lists_can_be_given_as_json(read: Load) -> None:
    configuration = read("{}", TRUNKLINE_PROVIDERS='[{"name": "a", "hostname": "h"}]')
    assert [provider.name for provider in configuration.providers] == ["a"]


def test_a_fault_in_an_override_names_the_variable(read: Load) -> None:
    assert complaint(read, "sip: {max_calls: 5}", TRUNKLINE_SIP__MAX_CALLS="x") == (
        "environment variable TRUNKLINE_SIP__MAX_CALLS: sip.max_calls: must be a whole number, and is 'x'; "
        "write digits only"
    )


def test_a_misspelt_override_is_a_fault(read: Load) -> None:
    assert complaint(read, "{}", TRUNKLINE_SIP__LISTN="x") == (
        "environment variable TRUNKLINE_SIP__LISTN: there is no setting sip.listn; did you mean TRUNKLINE_SIP__LISTEN?"
    )
    assert complaint(read, "{}", TRUNKLINE_QQ__ZZ="x") == (
        "environment variable TRUNKLINE_QQ__ZZ: there is no setting qq.zz; remove the variable or correct its name"
    )


def test_json_that_is_none_is_a_fault(read: Load) -> None:
    assert complaint(read, "{}", TRUNKLINE_NUMBERS="[") == (
        "environment variable TRUNKLINE_NUMBERS: numbers: not valid JSON: "
        "expecting value: line 1 column 2 (char 1); correct it"
    )


def test_variables_without_a_section_that_name_no_setting_are_left_alone(read: Load) -> None:
    key = "a key that nobody guesses".replace(" ", "-")
    assert read("api: {admin_key: '${TRUNKLINE_ADMIN_KEY}'}", TRUNKLINE_ADMIN_KEY=key).settings.api.admin_key == key


def test_secrets_are_replaced_and_a_doubled_dollar_is_plain(read: Load) -> None:
    text = "providers: [{name: a, hostname: h, password: 'x-${P}-$${P}', tech_headers: {X-Key: '${P}'}}]"
    (provider,) = read(text, P="s3cret").providers
    assert provider.password == "x-s3cret-${P}"
    assert provider.tech_headers == {"X-Key": "s3cret"}


def test_in_flows_the_same_writing_is_a_variable_of_the_call(read: Load) -> None:
    text = "flows: [{name: a, actions: [{type: variable_set, option: {key: k, value: '${call.id} ${P}'}}]}]"
    assert read(text, P="s3cret").flows[0].actions[0].option["value"] == "${call.id} ${P}"


def test_values_of_overrides_are_taken_as_they_are(read: Load) -> None:
    assert read("redis: '${NOPE}'", TRUNKLINE_REDIS="redis://${x}").settings.redis == "redis://${x}"


def test_a_missing_secret_is_one_fault_and_what_follows_from_it_none(read: Load, tmp_path: Path) -> None:
    text = "providers: [{name: a, hostname: '${HOST_OF_A}'}]"
    assert complaint(read, text) == (
        f"{tmp_path}/t.yaml:1: providers[0].hostname: the environment variable HOST_OF_A is not set; export it"
    )


@pytest.mark.parametrize(
    "text",
    [
        "providers: [{name: a, hostname: '${S}'}]",
        "providers: [{name: a, hostname: 'x ${S}'}]",
        "log: {level: '${S}'}",
        "sip: {max_calls: '${S}'}",
        "sip: {trusted_networks: ['${S}']}",
        "numbers: [{number: '${S}'}]",
        "providers: ['${S}']",
        "sip: '${S}'",
        "routes: [{provider: '${S}'}]",
        "sip: {users: [{username: a, password: [s3cret value]}]}",
        "providers: [{name: a, hostname: h, password: {a: s3cret value}}]",
        'providers: [{name: a, hostname: h, tech_headers: {X: "${S}\\n"}}]',
    ],
)
@pytest.mark.parametrize("secret", ["s3cret value", "s3cret " + "value" * 30, "s3cret\nvalue"])
def test_no_message_repeats_a_secret(read: Load, text: str, secret: str) -> None:
    assert "s3cret" not in complaint(read, text, S=secret)


def test_a_password_that_is_no_text_is_not_repeated(read: Load) -> None:
    line = complaint(read, "providers: [{name: a, hostname: h, password: 8675309}]")
    assert "8675309" not in line
    assert line.endswith("providers[0].password: must be text, and is the number (hidden); put it in quotes")


def test_settings_do_not_show_their_secrets_when_they_are_logged(read: Load) -> None:
    text = (
        "api: {admin_key: k3y-k3y-k3y-k3y-k3y}\nstore: postgresql://u:k3y@h/d\nredis: redis://k3y\n"
        "sip: {users: [{username: a, password: k3y}]}"
    )
    assert "k3y" not in repr(read(text).settings)
