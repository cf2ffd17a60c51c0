"""`kill -9` amid messages: what was answered 200 or 201 is there after the restart, and nothing is sent twice."""

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.sip.auth.credentials import Credentials
from engine.sip.registration import Registration, RegistrationSpec
from store.resources.messages import LOST
from tests.network import reserved_port
from tests.peers.engine import Engine, write_config
from tests.service.conftest import Phone, until
from tests.service.test_kill_nine import api_of
from tests.service.test_messages import CLIENT, CUSTOMER, ONE, OURS, Texts

pytestmark = pytest.mark.long  # engines as processes, killed

KEY = "a-key-for-the-admin-of-this-test"
TAKEN = 20


def configuration(store_url: str, provider: Phone) -> dict[str, Any]:
    return {
        "sip": {"listen": [f"udp://127.0.0.1:{reserved_port()}"], "trusted_networks": [f"{CLIENT}/32"]},
        "api": {"listen": "127.0.0.1:0", "admin_key": KEY},
        "store": store_url,
        "log": {"level": "warning", "format": "json"},
        "providers": [{"name": "silent", "hostname": provider.address}],
        "routes": [{"target": "all", "provider": "silent"}],
        "numbers": [{"number": OURS, "message_flow": "nothing"}],
        "flows": [{"name": "nothing", "actions": [{"type": "empty"}]}],
    }


async def ask(engine: Engine, method: str, path: str, **options: Any) -> Any:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
        answer = await http.request(method, f"{api_of(engine)}/v1.0/{path}", **options)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def test_what_was_acknowledged_is_kept_and_nothing_is_sent_twice(tmp_path: Path, store_url: str) -> None:
    phone, client = Phone(), Phone()
    await phone.start(ONE)
    await client.start(CLIENT)
    provider, sender = Texts(phone, 0), Texts(client)
    path = write_config(tmp_path, config := configuration(store_url, phone))
    sip = config["sip"]["listen"][0].removeprefix("udp://")
    engine = Engine.start(path)
    try:
        for number in range(TAKEN):
            assert (await sender.send(sip, OURS, f"text {number}")).status == 200
        body = {
            "source": {"type": "tel", "target": OURS},
            "destinations": [{"type": "tel", "target": CUSTOMER}],
            "text": "Is anybody there?",
        }
        made = await ask(engine, "POST", "messages", json=body)
        assert made["status"] == "sending"
        await until(lambda: provider.got, "the message at the provider")
        os.kill(engine.pid, signal.SIGKILL)
        engine.stop()
        engine = Engine.start(path)
        found = await ask(engine, "GET", "messages?direction=incoming")
        assert {message["text"] for message in found["result"]} == {f"text {number}" for number in range(TAKEN)}
        assert len(found["result"]) == TAKEN
        lost = await ask(engine, "GET", f"messages/{made['id']}")
        assert lost["status"] == "failed"
        assert [(target["status"], target["sip_reason"]) for target in lost["targets"]] == [("failed", LOST)]
        # A second message would have come by now: what is sent after this one goes the same way behind it.
        provider.status = 200
        again = await ask(engine, "POST", "messages", json=body | {"text": "again"})
        await until(lambda: len(provider.got) == 2, "the next message")
        assert [text for _, text in provider.got] == ["Is anybody there?", "again"]
        assert again["id"] != made["id"]
    finally:
        engine.stop()
        await phone.agent.stop()
        await client.agent.stop()


async def test_what_one_node_has_kept_reaches_the_phone_at_another_and_again_if_that_is_killed_amid_it(
    tmp_path: Path, postgres_url: str
) -> None:
    phone, client = Phone(), Phone()
    await phone.start(ONE)
    await client.start(CLIENT)
    bob, sender = Texts(phone, 0), Texts(client)  # whose answer does not come at first
    engines, addresses, paths = [], [], []
    try:
        for name in ("first", "second"):
            config = configuration(postgres_url, phone) | {"providers": [], "routes": [], "node_name": name}
            config["extensions"] = [{"name": "bob", "password": "secret-of-bob"}]
            (tmp_path / name).mkdir()
            paths.append(write_config(tmp_path / name, config))
            addresses.append(config["sip"]["listen"][0].removeprefix("udp://"))
            engines.append(Engine.start(paths[-1]))
        assert (await sender.send(addresses[0], "bob", "text")).status == 202
        await register(phone, addresses[1])
        await until(lambda: bob.got, "the text by the second node")
        os.kill(engines[1].pid, signal.SIGKILL)
        engines[1].stop()
        bob.status = 200
        engines[1] = Engine.start(paths[1])
        await register(phone, addresses[1])
        await until(lambda: len(bob.got) == 2, "the text once more")
        assert bob.texts == ["text", "text"]
        await register(phone, addresses[0])
        assert (await sender.send(addresses[0], "bob", "next")).status in (200, 202)
        await until(lambda: len(bob.got) >= 3, "the next text")
        assert bob.texts[2:] == ["next"]  # which goes behind all that wait: nothing does any more
    finally:
        for engine in engines:
            engine.stop()
        await phone.agent.stop()
        await client.agent.stop()


async def register(phone: Phone, sip: str) -> None:
    spec = RegistrationSpec(
        registrar="sip:127.0.0.1",
        destination=f"sip:{sip}",
        aor="sip:bob@127.0.0.1",
        contact=f"sip:bob@{phone.address}",
        credentials=Credentials("bob", "secret-of-bob"),
    )
    registration, answers = Registration(phone.agent.endpoint, spec), []
    registration.ask(answers.append)
    await until(lambda: answers, "the answer to the REGISTER")
    assert answers[0].granted


async def test_what_was_accepted_for_an_extension_reaches_the_phone_that_registers_after_the_kill(
    tmp_path: Path, store_url: str
) -> None:
    phone, client = Phone(), Phone()
    await phone.start(ONE)
    await client.start(CLIENT)
    bob, sender = Texts(phone), Texts(client)
    config = configuration(store_url, phone) | {"providers": [], "routes": []}
    config["extensions"] = [{"name": "bob", "password": "secret-of-bob"}]
    path = write_config(tmp_path, config)
    sip = config["sip"]["listen"][0].removeprefix("udp://")
    engine = Engine.start(path)
    try:
        for number in range(TAKEN):
            assert (await sender.send(sip, "bob", f"text {number}")).status == 202
        os.kill(engine.pid, signal.SIGKILL)
        engine.stop()
        engine = Engine.start(path)
        await register(phone, sip)
        await until(lambda: len(bob.got) == TAKEN, "all texts")
        assert bob.texts == [f"text {number}" for number in range(TAKEN)]
    finally:
        engine.stop()
        await phone.agent.stop()
        await client.agent.stop()
