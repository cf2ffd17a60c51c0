"""Where requests within a dialog go, and where they must not: RFC 3261 §12.2.1.1, RFC 3581, RFC 5923."""

import pytest

from engine.sip.dialog.invite_server import InviteServer
from engine.sip.dialog.next_hop import is_private, place_of
from engine.sip.flow import Flow
from engine.sip.peers import Everybody, Nat
from tests.simulation.network import Network, Node, Owner
from tests.simulation.peer import ANSWER, STEP, Peer, dial, nothing_left

ENGINE, PEER, OTHER = "192.0.2.2", "192.0.2.1", "192.0.2.7"
CARRIER, CARRIER_TOO, SECOND = "198.51.100.1", "198.51.100.2", "203.0.113.1"
PARTIES = {CARRIER: 1, CARRIER_TOO: 1, SECOND: 2, "carrier.example": 1, "2001:db8::c": 1}


class Parties(Everybody):
    """Two carriers; who is known, and the rule for each."""

    def __init__(self) -> None:
        self.strangers = {PEER}
        self.phones: set[str] = set()
        self.rule: Nat = "auto"

    def known(self, host: str) -> bool:
        return host not in self.strangers

    def declared(self, host: str) -> bool:
        return self.known(host) and host not in self.phones

    def reserved(self, host: str, source: str) -> bool:
        return host in PARTIES and PARTIES[host] != PARTIES.get(source)

    def allied(self, host: str, source: str) -> bool:
        return host in PARTIES and PARTIES[host] == PARTIES.get(source)

    def nat(self, host: str) -> Nat:
        return self.rule


class World:
    """A node that answers calls; a peer, and what listens elsewhere."""

    def __init__(self) -> None:
        self.network = Network()
        self.parties = Parties()
        self.node = Node(self.network, ENGINE, peers=self.parties)
        self.node.on_invite = self.came
        self.owner = Owner()
        self.session: InviteServer | None = None
        self.peer = self.at(PEER)

    def at(self, host: str, port: int = 5060) -> Peer:
        return Peer(self.network, host, port, engine=ENGINE)

    def came(self, session: InviteServer) -> None:
        session.user = self.owner
        self.session = session

    def wait(self, seconds: float = STEP) -> None:
        self.network.run(seconds)

    def answered(self, headers: str = "", peer: Peer | None = None, **more: object) -> InviteServer:
        """An answered call of the peer's."""
        peer = peer or self.peer
        peer.invite(headers, **more)
        assert self.session is not None
        self.session.accept(self.network.now, ANSWER)
        self.wait()
        peer.remote_tag = peer.final("INVITE").to_tag
        peer.ack()
        return self.session

    def bye(self) -> None:
        assert self.session is not None
        self.session.bye(self.network.now)
        self.wait()


@pytest.fixture
def world() -> World:
    return World()


# ---- what a URI says of itself


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("sip:a@192.0.2.1", ("192.0.2.1", "", 5060)),
        ("sip:a@192.0.2.1:5070;transport=tcp", ("192.0.2.1", "", 5070)),
        ("sips:a@192.0.2.1", ("192.0.2.1", "", 5061)),
        ("sip:a@192.0.2.1;transport=TLS", ("192.0.2.1", "", 5061)),
        ("sip:a@[2001:DB8::1]:5070", ("2001:db8::1", "", 5070)),
        ("sip:[::ffff:192.0.2.1]", ("192.0.2.1", "", 5060)),
        ("sip:a@x.example;maddr=192.0.2.1", ("192.0.2.1", "", 5060)),
        ("sip:a@192.0.2.9;maddr=192.0.2.1", ("192.0.2.1", "", 5060)),
        ("sip:192.0.2.1@evil.example", ("", "evil.example", 5060)),
        ("sip:u:192.0.2.1@evil.example", ("", "evil.example", 5060)),
        ("sip:a@Carrier.Example.", ("", "carrier.example", 5060)),
        ("sip:a@127.1", ("", "127.1", 5060)),
    ],
)
def test_what_a_uri_says_of_where_it_leads(uri: str, place: tuple[str, str, int]) -> None:
    assert place_of(uri) == place


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.16.0.1", "192.168.9.9", "100.64.0.1", "127.0.0.2", "169.254.1.1", "fe80::1", "fd00::1"]
)
def test_private_loopback_and_link_local_addresses(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", ["192.0.2.1", "172.32.0.1", "100.128.0.1", "8.8.8.8", "2001:db8::1", "2606::1"])
def test_all_others_are_public(address: str) -> None:
    assert not is_private(address)


# ---- where requests go: a caller


@pytest.mark.parametrize(
    "contact",
    [
        "10.9.8.7",
        "192.168.1.5:5062",
        "127.0.0.1",
        "169.254.3.4",
        "[fd00::7]",
        "invalid",
        "x.invalid",
        "a1b2c3.invalid:1",
    ],
)
@pytest.mark.parametrize("stranger", [True, False])
def test_a_contact_of_no_use_is_answered_to_the_source(world: World, contact: str, stranger: bool) -> None:
    if not stranger:
        world.parties.strangers.clear()
    world.peer.contact = f"<sip:a@{contact}>"
    world.answered()
    world.bye()
    assert [request.uri_text for request in world.peer.requests("BYE")] == [f"sip:a@{contact}"]


def test_a_known_peers_public_contact_is_obeyed(world: World) -> None:
    world.parties.strangers.clear()
    other = world.at(OTHER)
    world.peer.contact = f"<sip:a@{OTHER}>"
    world.answered()
    world.bye()
    assert len(other.requests("BYE")) == 1 and not world.peer.requests("BYE")


def test_a_strangers_contact_elsewhere_is_not_obeyed(world: World) -> None:
    other = world.at(OTHER)
    world.peer.contact = f"<sip:a@{OTHER}>"
    world.answered()
    world.bye()
    assert not other.heard and len(world.peer.requests("BYE")) == 1


def test_a_strangers_contact_elsewhere_is_obeyed_behind_a_proxy(world: World) -> None:
    other = world.at(OTHER)
    world.peer.contact = f"<sip:a@{OTHER}>"
    world.answered(f"Via: SIP/2.0/UDP {OTHER};branch=z9hG4bKbelow\r\n")
    world.bye()
    assert len(other.requests("BYE")) == 1


def test_at_the_same_host_the_contacts_port_counts(world: World) -> None:
    other = world.at(PEER, 5070)
    world.peer.contact = f"<sip:a@{PEER}:5070>"
    world.answered()
    world.bye()
    assert len(other.requests("BYE")) == 1


@pytest.mark.parametrize("via", [f"{PEER}:5099;rport", "192.168.1.5;rport", "192.168.1.5"])
def test_at_the_same_host_the_sources_port_counts_where_via_shows_a_nat_rfc_3581(world: World, via: str) -> None:
    other = world.at(PEER, 5099)
    world.peer.contact = f"<sip:a@{PEER}:5099>"
    world.answered(via=f"Via: SIP/2.0/UDP {via};branch=z9hG4bKnat")
    world.bye()
    assert len(world.peer.requests("BYE")) == 1 and not other.requests("BYE")


def test_at_the_host_that_a_name_stands_for_too_rfc_3581(world: World) -> None:
    other = world.at(PEER, 5099)
    world.node.names["phone.example"] = [(PEER, 5099)]
    world.peer.contact = "<sip:a@phone.example>"
    world.answered(via="Via: SIP/2.0/UDP 192.168.1.5;rport;branch=z9hG4bKnat")
    world.bye()
    assert len(world.peer.requests("BYE")) == 1 and not other.requests("BYE")


def test_a_record_route_is_followed_whatever_the_contact_is(world: World) -> None:
    proxy = world.at(OTHER)
    world.peer.contact = "<sip:a@10.9.8.7>"
    world.answered(f"Record-Route: <sip:{OTHER};lr>\r\n")
    world.bye()
    [bye] = proxy.requests("BYE")
    assert bye.uri_text == "sip:a@10.9.8.7" and bye.get("Route") == f"<sip:{OTHER};lr>"


def test_always_goes_to_the_source_and_never_to_the_contact(world: World) -> None:
    proxy, other = world.at(OTHER), world.at("10.9.8.7")
    world.parties.rule = "always"
    world.answered(f"Record-Route: <sip:{OTHER};lr>\r\n")
    world.bye()
    assert len(world.peer.requests("BYE")) == 1 and not proxy.heard
    world.parties.rule = "never"
    world.peer.call_id, world.peer.remote_tag, world.peer.contact = "second", "", "<sip:a@10.9.8.7>"
    world.answered()
    world.bye()
    assert len(other.requests("BYE")) == 1 and len(world.peer.requests("BYE")) == 1


@pytest.mark.parametrize("rule", ["auto", "never"])
@pytest.mark.parametrize(
    ("contact", "headers"),
    [
        ("x.invalid", ""),
        ("X.INVALID.:80", ""),
        ("10.9.8.7", "Record-Route: <sip:edge.invalid;lr>\r\n"),
        (OTHER, "Record-Route: <sip:invalid:5080;transport=ws;lr>\r\n"),
    ],
)
def test_a_name_that_is_nobodys_is_never_looked_up(world: World, rule: Nat, contact: str, headers: str) -> None:
    world.parties.rule = rule
    world.parties.strangers.clear()
    other = world.at(OTHER)
    world.peer.contact = f"<sip:a@{contact}>"
    world.answered(headers)
    world.bye()
    assert len(world.peer.requests("BYE")) == 1 and not other.heard


@pytest.mark.parametrize("rule", ["auto", "never"])
@pytest.mark.parametrize("headers", ["", f"Record-Route: <sip:{OTHER};lr>\r\n"])
def test_a_peer_that_only_its_connection_leads_to_is_reached_by_it(world: World, rule: Nat, headers: str) -> None:
    """RFC 7118 §5: whatever a browser calls itself, and whoever it says is on the way."""
    world.node.connects = False
    world.parties.rule = rule
    world.parties.strangers.clear()
    other = world.at(OTHER)
    world.peer.contact = f"<sip:a@{OTHER}>"
    world.answered(headers)
    world.bye()
    assert len(world.peer.requests("BYE")) == 1 and not other.heard


def test_a_contact_with_a_name_goes_where_the_name_leads(world: World) -> None:
    other = world.at(OTHER)
    world.parties.strangers.clear()
    world.node.names["pbx.example"] = [(OTHER, 5060)]
    world.peer.contact = "<sip:a@pbx.example>"
    world.answered()
    world.bye()
    assert len(other.requests("BYE")) == 1


@pytest.mark.parametrize("leads_to", [[("10.0.0.7", 5060)], []])
def test_a_name_of_no_use_is_answered_to_the_source(world: World, leads_to: list[tuple[str, int]]) -> None:
    world.parties.strangers.clear()
    world.node.names["pbx.local"] = leads_to
    world.peer.contact = "<sip:a@pbx.local>"
    world.answered()
    world.bye()
    assert len(world.peer.requests("BYE")) == 1


def test_a_strangers_name_is_obeyed_where_it_stands_for_its_source(world: World) -> None:
    world.node.names["phone.example"] = [(OTHER, 5060), (PEER, 5070)]
    other, also = world.at(OTHER), world.at(PEER, 5070)
    world.peer.contact = "<sip:a@phone.example>"
    world.answered()
    world.bye()
    assert len(other.requests("BYE")) + len(also.requests("BYE")) == 1


def test_a_reinvite_moves_the_target_by_the_same_rule_12_2(world: World) -> None:
    session = world.answered()
    world.parties.strangers.clear()
    moved = world.at(OTHER, 5070)
    world.peer.contact = "<sip:a@10.1.1.1>"
    world.peer.invite()
    world.wait()
    world.peer.ack()
    assert session.dialog.flow is not None and session.dialog.flow.host == PEER
    world.peer.contact = f"<sip:a@{OTHER}:5070>"
    world.peer.request("UPDATE")
    world.bye()
    assert len(moved.requests("BYE")) == 1


# ---- where requests go: a callee


def answering(world: World, contact: str, headers: str = "", host: str = CARRIER) -> Peer:
    """We call a peer, which answers with this Contact."""
    callee = world.at(host)
    dial(world.node, f"sip:{host}:5060")
    callee.answer(callee.requests("INVITE")[0], 200, headers, ANSWER, contact=contact)
    return callee


@pytest.mark.parametrize("contact", ["10.9.8.7:5060", "172.20.1.1", "127.0.0.5", "x.invalid"])
def test_a_callees_private_contact_is_answered_to_the_source(world: World, contact: str) -> None:
    callee = answering(world, f"<sip:a@{contact}>")
    assert [request.uri_text for request in callee.requests("ACK")] == [f"sip:a@{contact}"]


@pytest.mark.parametrize("host", [ENGINE, f"{ENGINE}:5060", "office.example"])
def test_a_device_that_calls_itself_by_the_gruu_that_we_gave_it_is_reached_as_it_was_called_rfc_5627(
    world: World, host: str
) -> None:
    world.node.names["office.example"] = [(ENGINE, 5060)]
    gruu = f"sip:a@{host};gr=urn:uuid:8619859d-0e93-6019-2c64-3781587782a0"
    callee, (session, _) = world.at(OTHER), dial(world.node, f"sip:{OTHER}:5060")
    callee.answer(callee.requests("INVITE")[0], 200, "", ANSWER, contact=f"<{gruu}>")
    assert not session.ended
    session.bye(world.network.now)
    world.wait()
    assert [one.uri_text for one in (*callee.requests("ACK"), *callee.requests("BYE"))] == [gruu, gruu]
    assert not world.node.misled


def test_a_device_behind_its_proxy_is_reached_by_it_whatever_gruu_we_gave_it(world: World) -> None:
    gruu = f"sip:a@{ENGINE};gr=urn:uuid:8619859d-0e93-6019-2c64-3781587782a0"
    proxy, (session, _) = world.at(OTHER), dial(world.node, f"sip:{OTHER}:5060")
    route = f"Record-Route: <sip:{OTHER};lr>\r\n"
    proxy.answer(proxy.requests("INVITE")[0], 200, route, ANSWER, contact=f"<{gruu}>")
    session.bye(world.network.now)
    world.wait()
    ways = [(one.uri_text, one.values("Route")) for one in (*proxy.requests("ACK"), *proxy.requests("BYE"))]
    assert ways == [(gruu, [f"<sip:{OTHER};lr>"])] * 2
    assert not world.node.misled


@pytest.mark.parametrize("host", [ENGINE, "office.example"])
@pytest.mark.parametrize("stranger", [True, False])
def test_a_device_that_calls_by_its_gruu_is_answered_where_it_is_rfc_5627(
    world: World, host: str, stranger: bool
) -> None:
    if not stranger:
        world.parties.strangers.clear()
    world.node.names["office.example"] = [(ENGINE, 5060)]
    gruu = f"sip:a@{host};gr=urn:uuid:8619859d-0e93-6019-2c64-3781587782a0"
    world.peer.contact = f"<{gruu}>"
    world.answered()
    world.bye()
    assert [request.uri_text for request in world.peer.requests("BYE")] == [gruu]
    assert not world.node.misled


def test_a_gruu_at_somebody_elses_place_is_nobodys_way_there(world: World) -> None:
    world.peer.invite(f"Contact: <sip:a@{CARRIER};gr=urn:uuid:x>\r\n", contact="")
    assert world.peer.statuses("INVITE") == [403]


@pytest.mark.parametrize("own", [CARRIER, CARRIER_TOO, f"{CARRIER}:5090", OTHER])
def test_a_carriers_own_contact_is_obeyed(world: World, own: str) -> None:
    host, _, port = own.partition(":")
    there = world.at(host, int(port or 5060)) if own != CARRIER else None
    callee = answering(world, f"<sip:a@{own}>")
    assert len((there or callee).requests("ACK")) == 1


def test_a_carriers_record_route_at_another_address_of_its_own_is_followed(world: World) -> None:
    proxy = world.at(CARRIER_TOO)
    answering(world, f"<sip:a@{CARRIER}>", f"Record-Route: <sip:{CARRIER_TOO};lr>\r\n")
    assert len(proxy.requests("ACK")) == 1


@pytest.mark.parametrize(
    "named",
    [
        (f"<sip:+19005551234@{SECOND}>", ""),
        (f"<sip:a@{SECOND}:5099;transport=tcp>", ""),
        (f"<sip:a@{ENGINE}>", ""),
        (f"<sip:a@x.example;maddr={SECOND}>", ""),
        (f"<sip:a@{CARRIER}>", f"Record-Route: <sip:{SECOND};lr>\r\n"),
        (f"<sip:a@{CARRIER}>", f"Record-Route: <sip:{ENGINE}:5060;lr>\r\n"),
        (f"<sip:a@{SECOND}>", f"Record-Route: <sip:{CARRIER};lr>\r\n"),
        (f"<sip:a@{ENGINE};gr=x>", f"Record-Route: <sip:{ENGINE}:5060;lr>\r\n"),
        (f"<sip:a@{SECOND};gr=x>", f"Record-Route: <sip:{CARRIER};lr>\r\n"),
        (f"<sip:a@{SECOND};gr=x>", ""),
    ],
)
def test_an_answer_that_names_somebody_else_gets_ack_and_bye_where_it_came_from(
    world: World, named: tuple[str, str]
) -> None:
    second, callee = world.at(SECOND), world.at(CARRIER)
    session, owner = dial(world.node, f"sip:{CARRIER}:5060")
    callee.answer(callee.requests("INVITE")[0], 200, named[1], ANSWER, contact=named[0])
    assert owner.outcome == ("refused", 502) and session.ended
    assert len(callee.requests("ACK")) == 1 and len(callee.requests("BYE")) == 1
    assert callee.kinds().index("ACK") < callee.kinds().index("BYE")
    callee.answer(callee.requests("BYE")[0], 200)
    assert not second.heard
    assert world.node.misled == [(CARRIER, "200")]
    assert nothing_left(world.node)


def test_an_answer_whose_name_stands_for_somebody_else_is_hung_up_when_that_is_known(world: World) -> None:
    second, callee = world.at(SECOND), world.at(CARRIER)
    world.node.names["gw.example"] = [(SECOND, 5060)]
    world.node.slow["gw.example"] = 0.5
    session, _ = dial(world.node, f"sip:{CARRIER}:5060")
    callee.answer(callee.requests("INVITE")[0], 200, "", ANSWER, contact="<sip:a@gw.example>")
    world.wait(1.0)
    assert len(callee.requests("ACK")) == 1 and callee.requests("BYE")
    assert session.ended and not second.heard


def test_a_callee_leads_nowhere_that_it_could_not_have_been_called_at(world: World) -> None:
    """A customer's callee does not make us ask what is in our private network (`DialSpec.allows`)."""
    inside, callee = world.at("10.0.0.5"), world.at(OTHER)
    session, _ = dial(world.node, f"sip:{OTHER}:5060", allows=lambda flow: not is_private(flow.host))
    callee.answer(
        callee.requests("INVITE")[0], 200, "Record-Route: <sip:10.0.0.5;lr>\r\n", ANSWER, contact=f"<sip:a@{OTHER}>"
    )
    assert session.ended and not inside.heard
    assert len(callee.requests("ACK")) == 1 and len(callee.requests("BYE")) == 1


def test_a_reliable_ringing_that_names_somebody_else_ends_the_call_unasked_rfc_3262(world: World) -> None:
    second, callee = world.at(SECOND), world.at(CARRIER)
    _, owner = dial(world.node, f"sip:{CARRIER}:5060")
    invite = callee.requests("INVITE")[0]
    callee.answer(invite, 183, "Require: 100rel\r\nRSeq: 1\r\n", ANSWER, contact=f"<sip:+19005551234@{SECOND}>")
    assert not second.heard and not callee.requests("PRACK")
    assert owner.outcome == ("refused", 502) and len(callee.requests("CANCEL")) == 1


# ---- where they must not: a caller's names


@pytest.mark.parametrize(
    "headers",
    [
        f"Contact: <sip:+19005551234@{CARRIER}>",
        f"Contact: <sip:+19005551234@{CARRIER}:5099>",
        f"m: <sip:+19005551234@{CARRIER};transport=tcp>",
        f"Contact: sip:+19005551234@{SECOND}",
        "Contact: <sip:+19005551234@[2001:db8::c]>",
        f"Contact: <sip:+19005551234@[::ffff:{CARRIER}]>",
        f"Contact: <sip:a@{PEER};maddr={CARRIER}>",
        "Contact: <sip:+19005551234@Carrier.Example>",
        f"Contact: <sip:+19005551234@{ENGINE}>",
        f"Contact: <sip:+19005551234@{ENGINE}:5060;transport=tcp>",
        f"Contact: <sip:{PEER}@{ENGINE}>",
        f"Contact: <sip:a@{PEER}>\r\nRecord-Route: <sip:{CARRIER};lr>",
        f"Contact: <sip:a@{PEER}>\r\nRecord-Route: <sip:{ENGINE};lr>, <sip:{PEER};lr>",
        f"Contact: <sip:a@{PEER}>\r\nRoute: <sip:{CARRIER};lr>",
        f"Contact: <sip:a@{PEER}>\r\nRoute: <sip:{ENGINE};lr>, <sip:{CARRIER};lr>",
        f"Contact: <sip:a@{PEER}>\r\nRoute: <sip:{PEER};lr>, <sip:{ENGINE};lr>",
    ],
)
@pytest.mark.parametrize("stranger", [True, False])
def test_an_invite_that_names_somebody_else_is_refused_403(world: World, headers: str, stranger: bool) -> None:
    if not stranger:
        world.parties.strangers.clear()
    carrier = world.at(CARRIER)
    world.peer.invite(f"{headers}\r\n", contact="")
    assert world.peer.statuses("INVITE") == [403]
    assert world.session is None and not carrier.heard
    assert world.node.misled == [(PEER, "INVITE")]
    world.peer.final("INVITE")
    world.peer.request("ACK", branch=f"z9hG4bK{PEER}x1", cseq=1)
    assert nothing_left(world.node)


def test_a_caller_of_rfc_2543_without_contact_may_not_come_from_a_carrier_either(world: World) -> None:
    world.peer.say(
        f"INVITE sip:b@{ENGINE} SIP/2.0\r\nVia: SIP/2.0/UDP {PEER}\r\nFrom: <sip:+19005551234@{CARRIER}>;tag=1\r\n"
        f"To: <sip:b@{ENGINE}>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n".encode()
    )
    assert world.peer.statuses("INVITE") == [403]


def test_the_route_that_brought_the_call_here_may_be_ours_16_4(world: World) -> None:
    world.answered(f"Route: <sip:{ENGINE};lr>\r\n")


def test_another_program_on_this_machine_is_not_us(world: World) -> None:
    local = world.at(ENGINE, 5070)
    local.contact = f"<sip:a@{ENGINE}:5070>"
    world.answered(peer=local)
    world.bye()
    assert len(local.requests("BYE")) == 1


def test_a_carrier_may_name_its_own_addresses(world: World) -> None:
    carrier, too = world.at(CARRIER), world.at(CARRIER_TOO)
    carrier.contact = f"<sip:a@{CARRIER_TOO}>"
    world.answered(peer=carrier)
    world.bye()
    assert len(too.requests("BYE")) == 1


@pytest.mark.parametrize("header", ["Contact: <sip:+1900@gw.example>", "Record-Route: <sip:gw.example;lr>"])
@pytest.mark.parametrize("to", [CARRIER, ENGINE])
def test_a_name_is_looked_up_before_the_call_is_announced(world: World, header: str, to: str) -> None:
    world.node.names["gw.example"] = [(OTHER, 5060), (to, 5060)]
    world.node.slow["gw.example"] = 0.3
    carrier = world.at(CARRIER)
    world.peer.invite(f"{header}\r\n", contact="" if "Contact" in header else None)
    assert world.session is None and world.peer.statuses("INVITE") == []
    world.wait(0.5)
    assert world.session is None and world.peer.statuses("INVITE") == [403]  # a stranger's: nothing is kept (§8.2.7)
    assert not carrier.heard
    world.peer.request("ACK", branch=f"z9hG4bK{PEER}x1", cseq=1)
    assert nothing_left(world.node) and world.node.endpoint.vetting == 0


def test_a_name_of_the_callers_own_delays_its_call_until_it_is_known(world: World) -> None:
    world.node.names["me.example"] = [(PEER, 5060)]
    world.node.slow["me.example"] = 0.3
    world.peer.invite(contact="<sip:a@me.example>")
    assert world.session is None
    world.peer.request("UPDATE", to_tag="x")
    world.wait(0.4)
    assert world.session is not None and not world.node.misled


def test_a_name_that_takes_long_delays_no_call_for_ever_and_is_looked_at_when_it_is_known(world: World) -> None:
    world.node.names["gw.example"] = [(CARRIER, 5060)]
    world.node.slow["gw.example"] = 3.0
    carrier = world.at(CARRIER)
    world.peer.invite(contact="<sip:+1900@gw.example>")
    world.wait(1.1)
    assert world.session is not None
    world.session.accept(world.network.now, ANSWER)
    world.wait()
    world.peer.final("INVITE")
    world.peer.ack()
    world.wait(2.0)
    assert world.session.ended and not carrier.heard
    assert len(world.peer.requests("BYE")) == 1


def test_a_call_given_up_while_its_name_is_looked_up_is_over_9_2(world: World) -> None:
    world.node.names["gw.example"] = [(PEER, 5060)]
    world.node.slow["gw.example"] = 0.5
    branch = world.peer.invite(contact="<sip:a@gw.example>")
    world.peer.cancel(branch)
    assert world.peer.statuses("CANCEL") == [200] and world.peer.statuses("INVITE") == [487]
    world.peer.request("ACK", branch=branch, cseq=1)
    world.wait(1.0)
    assert world.session is None
    assert nothing_left(world.node)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("named", [CARRIER, SECOND, ENGINE, "carrier.example", "late.example"])
def test_a_target_refresh_that_names_somebody_else_is_refused_403(world: World, method: str, named: str) -> None:
    world.node.names["late.example"] = [(SECOND, 5060)]
    world.node.slow["late.example"] = 0.2
    session = world.answered()
    before = session.dialog.remote_target
    world.peer.contact = f"<sip:+19005551234@{named}>"
    world.peer.request(method)
    world.wait(0.5)
    assert world.peer.statuses(method)[-1] == 403
    assert session.dialog.remote_target == before and not session.ended


def test_names_in_one_request_at_a_time_are_looked_up(world: World) -> None:
    world.node.slow |= {"one.example": 0.5, "two.example": 0.5}
    world.node.names |= {"one.example": [(PEER, 5060)], "two.example": [(PEER, 5060)]}
    session = world.answered()
    asked: list[str] = []
    locate = world.node.endpoint.locate
    world.node.endpoint.locate = lambda uri, done: (asked.append(uri), locate(uri, done))[1]
    for name in ("one", "two"):
        world.peer.contact = f"<sip:a@{name}.example>"
        world.peer.request("UPDATE")
    assert world.peer.statuses("UPDATE") == [500] and asked == ["sip:a@one.example"]
    world.wait(0.6)
    assert world.peer.statuses("UPDATE") == [500, 200] and session.dialog.remote_target == "sip:a@one.example"


def test_a_name_that_comes_to_stand_for_a_carrier_ends_the_dialog_at_the_next_request(world: World) -> None:
    """DNS rebinding: what was looked up once is no right."""
    carrier = world.at(CARRIER)
    world.node.names["me.example"] = [(PEER, 5060)]
    session = world.answered(contact="<sip:+19005551234@me.example>")
    world.node.names["me.example"] = [(CARRIER, 5060)]
    outcome: list[int] = []
    session.renegotiate("INVITE", ANSWER, world.network.now, lambda status, *_: outcome.append(status))
    world.wait()
    assert session.ended and outcome == [487]
    assert [request.method for request in world.peer.heard if hasattr(request, "method")] == ["BYE"]
    assert "403" in world.peer.requests("BYE")[0].get("Reason")
    assert not carrier.heard and world.node.misled == [(PEER, "INVITE")]


@pytest.mark.parametrize("doing", ["INFO", "NOTIFY", "REFER", "OPTIONS", "refresh", "bye"])
def test_nothing_at_all_is_sent_to_a_carrier_that_a_peer_has_named(world: World, doing: str) -> None:
    carrier = world.at(CARRIER)
    world.node.names["me.example"] = [(PEER, 5060)]
    session = world.answered("Session-Expires: 90;refresher=uas\r\nSupported: timer\r\n", contact="<sip:a@me.example>")
    world.node.names["me.example"] = [(PEER, 5060), (CARRIER, 5060)]
    if doing == "bye":
        session.bye(world.network.now)
    elif doing == "refresh":
        world.wait(46)
    else:
        session.request(doing, world.network.now)
    world.wait()
    assert session.ended and not carrier.heard
    assert len({request.cseq for request in world.peer.requests("BYE")}) == 1


def test_a_provider_that_is_added_later_is_not_reached_by_a_contact_of_before(world: World) -> None:
    world.parties.strangers.clear()
    fresh = world.at("198.51.100.77")
    session = world.answered(contact="<sip:a@198.51.100.77>")
    PARTIES["198.51.100.77"] = 3
    try:
        session.bye(world.network.now)
        world.wait()
    finally:
        del PARTIES["198.51.100.77"]
    assert not fresh.heard and len(world.peer.requests("BYE")) == 1


# ---- connections


def test_a_connection_is_used_as_long_as_it_is_there_rfc_5923(world: World) -> None:
    world.node.reliable, world.node.name, world.node.via_name = True, "tcp", "TCP"
    world.peer.transport = "TCP"
    world.answered(contact=f"<sip:a@{OTHER};transport=tcp>")
    world.bye()
    assert len(world.peer.requests("BYE")) == 1


def test_without_the_connection_a_contact_at_a_carrier_is_not_fallen_back_to(world: World) -> None:
    world.node.reliable, world.node.name, world.node.via_name = True, "tcp", "TCP"
    world.peer.transport = "TCP"
    carrier = world.at(CARRIER)
    world.node.names["me.example"] = [(PEER, 5060)]
    session = world.answered(contact="<sip:a@me.example;transport=tcp>")
    world.node.names["me.example"] = [(CARRIER, 5060)]
    world.node.connected = lambda flow: False  # type: ignore[method-assign]
    session.request("INFO", world.network.now)
    world.wait()
    assert session.ended and not carrier.heard


@pytest.mark.parametrize("contact", ["10.0.0.9:22", OTHER, "169.254.169.254:80", "[fd00::9]", "x;maddr=10.0.0.9"])
@pytest.mark.parametrize("rule", ["auto", "always"])
@pytest.mark.parametrize("method", ["INFO", "BYE"])
def test_without_the_connection_a_contact_elsewhere_is_not_fallen_back_to(
    world: World, contact: str, rule: Nat, method: str
) -> None:
    world.parties.rule = rule
    world.node.reliable, world.node.name, world.node.via_name = True, "tcp", "TCP"
    world.peer.transport = "TCP"
    session = world.answered(contact=f"<sip:a@{contact};transport=tcp>")
    world.node.connected = lambda flow: False  # type: ignore[method-assign]
    world.network.log.clear()
    if method == "BYE":
        session.bye(world.network.now)
    else:
        session.request(method, world.network.now)
    world.wait()
    assert {to for _, origin, to, _ in world.network.log if origin == ENGINE} == {PEER}


@pytest.mark.parametrize("near", ["10.0.0.9:6379;transport=tcp", "127.0.0.1:6379", "169.254.169.254:80", "[fd00::9]"])
@pytest.mark.parametrize(("lr", "who"), [(";lr", "stranger"), ("", "stranger"), (";lr", "phone"), (";lr", "declared")])
def test_a_strangers_or_a_phones_route_does_not_lead_into_our_network(
    world: World, near: str, lr: str, who: str
) -> None:
    if who != "stranger":
        world.parties.strangers.clear()
    if who == "phone":
        world.parties.phones.add(PEER)
    world.answered(f"Record-Route: <sip:{near}{lr}>\r\n")
    world.network.log.clear()
    world.bye()
    [to] = {to for _, origin, to, _ in world.network.log if origin == ENGINE}
    assert (to == PEER) is (who != "declared")


def test_a_strangers_proxy_that_is_as_near_as_it_is_brings_requests_there(world: World) -> None:
    near, proxy = world.at("10.0.0.8"), world.at("10.0.0.9")
    world.parties.strangers.add("10.0.0.8")
    world.answered("Record-Route: <sip:10.0.0.9;lr>\r\n", peer=near)
    world.bye()
    assert len(proxy.requests("BYE")) == 1


# ---- requests from elsewhere


def elsewhere(world: World, host: str = OTHER) -> Peer:
    """Somebody who knows the dialog of the peer, as every hop on its way does."""
    thief = world.at(host)
    thief.call_id, thief.tag, thief.remote_tag, thief.cseq = (
        world.peer.call_id,
        world.peer.tag,
        world.peer.remote_tag,
        world.peer.cseq + 5,
    )
    return thief


@pytest.mark.parametrize(
    ("method", "body"), [("INVITE", ANSWER), ("INVITE", b""), ("UPDATE", ANSWER), ("INFO", b"x"), ("REFER", b"")]
)
def test_what_changes_a_call_from_another_host_is_refused_and_counts_for_nothing(
    world: World, method: str, body: bytes
) -> None:
    session = world.answered()
    thief = elsewhere(world)
    before = (session.dialog.remote_target, session.dialog.remote_cseq, len(world.owner.events))
    thief.request(method, "Refer-To: <sip:c@x>\r\n" if method == "REFER" else "", body)
    assert thief.statuses(method) == [403]
    assert (session.dialog.remote_target, session.dialog.remote_cseq, len(world.owner.events)) == before
    world.peer.request("INFO")
    assert world.peer.statuses("INFO") == [200]  # the peer's own order is what it was


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "PRACK"])
def test_what_changes_nothing_is_free_and_moves_nothing(world: World, method: str) -> None:
    session = world.answered()
    thief = elsewhere(world)
    thief.request(method)
    assert thief.statuses(method)[-1] in (200, 481)
    assert session.dialog.remote_target == f"sip:peer@{PEER}:5060"


def test_a_callees_requests_come_from_where_it_was_called_or_answered(world: World) -> None:
    callee = answering(world, f"<sip:a@{CARRIER}>")
    [ack] = callee.requests("ACK")
    for host, status in ((CARRIER, 200), (OTHER, 403)):
        sender = callee if host == CARRIER else world.at(host)
        sender.call_id, sender.tag, sender.remote_tag, sender.cseq = ack.call_id, "peertag", ack.from_tag, 9
        sender.request("INFO")
        assert sender.statuses("INFO") == [status]


def test_an_answer_from_another_address_than_was_called_is_where_the_callee_is(world: World) -> None:
    callee, worker = world.at(CARRIER), world.at(OTHER)
    dial(world.node, f"sip:{CARRIER}:5060")
    worker.answer(callee.requests("INVITE")[0], 200, "", ANSWER, contact="<sip:a@10.1.1.1>")
    [ack] = worker.requests("ACK")
    worker.call_id, worker.remote_tag = ack.call_id, ack.from_tag
    worker.request("INFO")
    assert worker.statuses("INFO") == [200]


def test_a_sender_that_is_let_in_is_followed(world: World) -> None:
    session = world.answered()
    moved = elsewhere(world)
    asked: list[str] = []
    world.node.endpoint.on_stranger = lambda session, request: asked.append(request.method) or (0, "", True)  # type: ignore[func-returns-value]
    moved.contact = "<sip:a@10.0.0.9>"
    moved.request("INVITE", body=ANSWER)
    moved.ack()
    moved.request("INFO")
    assert asked == ["INVITE"] and moved.statuses("INFO") == [200]
    session.bye(world.network.now)
    world.wait()
    assert len(moved.requests("BYE")) == 1 and not world.peer.requests("BYE")


def test_hops_of_the_simulation_are_what_the_engine_sees(world: World) -> None:
    session = world.answered()
    assert session.dialog.source == Flow(world.node, PEER, 5060)


def test_calls_of_known_peers_do_not_wait_behind_strangers_names(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.sip.endpoint.VETTING_MOST", 2)
    strangers = [world.at(f"203.0.113.{number}") for number in (91, 92, 93)]
    world.parties.strangers.update(stranger.host for stranger in strangers)
    world.node.names["me.example"] = [(OTHER, 5060)]
    for stranger in strangers:
        name = f"x{stranger.host}.example"
        world.node.names[name], world.node.slow[name] = [], 0.9
        stranger.invite(contact=f"<sip:a@{name}>")
    assert [stranger.statuses("INVITE") for stranger in strangers] == [[], [], [503]]
    known = world.at(OTHER)
    world.answered(peer=known, contact="<sip:a@me.example>")


@pytest.mark.parametrize("header", ["Route: {}", "Record-Route: <sip:a.example;lr>\r\nRoute: {}", "Route: <sip:{}"])
def test_of_a_long_list_of_names_few_are_looked_up(world: World, header: str) -> None:
    asked = []
    locate = world.node.endpoint.locate
    world.node.endpoint.locate = lambda uri, done: (asked.append(uri), locate(uri, done))[1]
    routes = [f"<sip:n{number}.example;lr>" for number in range(200)]
    if header.endswith("<sip:{}"):
        text = "".join(f"Route: {route}\r\n" for route in routes)
    else:
        text = f"{header.format(', '.join(routes))}\r\n"
    world.peer.invite(text)
    assert world.session is not None and 0 < len(asked) <= 8


@pytest.mark.parametrize("method", ["OPTIONS", "UPDATE", "PRACK", "NOTIFY"])
def test_what_comes_from_elsewhere_makes_no_request_of_the_peer_an_old_one_12_2_2(world: World, method: str) -> None:
    session = world.answered()
    thief = elsewhere(world)
    thief.request(method, cseq=2**31 - 1, contact="")
    assert thief.statuses(method) and not session.ended
    world.peer.request("BYE")
    assert world.peer.statuses("BYE") == [200] and session.ended
