"""Dialogs, RFC 3261 §12: both roles, route sets, targets, CSeq order."""

import pytest

from engine.sip.dialog.dialog import CONFIRMED, EARLY, Dialog, contact_of, without_tag
from engine.sip.dialog.next_hop import way_back
from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.peers import EVERYBODY, Everybody, Nat
from tests.simulation.network import Network, Node

NODE = Node(Network(), "10.0.0.9")
FLOW = Flow(NODE, "10.0.0.1", 5060)


def invite(headers: str = "Contact: <sip:a@10.0.0.1>\r\n", method: str = "INVITE", cseq: int = 7) -> Request:
    message = parse(
        f"{method} sip:b@10.0.0.9 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n"
        f'From: "A" <sip:a@example.com;x=1>;tag=f1\r\nTo: <sip:b@example.com>\r\nCall-ID: c1\r\n'
        f"CSeq: {cseq} {method}\r\n{headers}Content-Length: 0\r\n\r\n".encode()
    )
    assert isinstance(message, Request)
    return message


def ok(headers: str = "Contact: <sip:b@10.0.0.1>\r\n", status: int = 200, tag: str = "t1") -> Response:
    message = parse(
        f"SIP/2.0 {status} OK\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nFrom: <sip:me@x>;tag=f9\r\n"
        f"To: <sip:b@example.com>;tag={tag}\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n{headers}"
        "Content-Length: 0\r\n\r\n".encode()
    )
    assert isinstance(message, Response)
    return message


def caller(response: Response, state: str = EARLY, flow: Flow = FLOW) -> Dialog:
    return Dialog.as_caller(response, "<sip:me@x>", "f9", 1, state, "sip:b@example.com", flow)


class SecureNode(Node):
    """A node that is reached over TLS."""

    name, via_name, reliable = "tls", "TLS", True


class AlwaysBack(Everybody):
    def nat(self, host: str) -> Nat:
        return "always"


ROUTES = "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\nContact: <sip:z@10.0.0.1>\r\n"


def test_callee_keeps_record_route_in_order_12_1_1() -> None:
    dialog = Dialog.as_callee(invite(ROUTES), "mine", FLOW)
    assert dialog.route_set == ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]
    assert dialog.key == ("c1", "mine", "f1")
    assert (dialog.local_cseq, dialog.remote_cseq) == (0, 7)
    assert dialog.remote_target == "sip:z@10.0.0.1"
    assert dialog.remote == '"A" <sip:a@example.com;x=1>'


@pytest.mark.parametrize(
    ("transport", "contact", "secure"),
    [("tls", "sips:a@10.0.0.1", True), ("tls", "sip:a@10.0.0.1", False), ("udp", "sips:a@10.0.0.1", False)],
)
def test_a_dialog_is_secure_where_its_caller_is_over_tls_and_asks_for_sips_12_1_1(
    transport: str, contact: str, secure: bool
) -> None:
    node = SecureNode(Network(), "10.0.0.9") if transport == "tls" else NODE
    dialog = Dialog.as_callee(invite(f"Contact: <{contact}>\r\n"), "mine", Flow(node, "10.0.0.1", 5060))
    assert dialog.secure == secure


def test_the_peer_is_where_the_response_came_from_and_who_it_showed_to_be() -> None:
    shown = Flow(NODE, "10.0.0.1", 5080, identity="carrier.example 10.0.0.1")
    response = ok()
    response.source = shown
    dialog = caller(response)
    assert (dialog.source, dialog.party) == (shown, "carrier.example 10.0.0.1")
    elsewhere = ok()
    elsewhere.source = Flow(NODE, "10.0.0.77", 5060)
    dialog = caller(elsewhere)
    assert (dialog.source, dialog.party) == (elsewhere.source, "10.0.0.1")  # it is whom we have called


def test_always_leads_to_the_source_without_a_look_up() -> None:
    dialog = Dialog.as_callee(invite(ROUTES), "mine", FLOW)
    assert way_back(dialog, AlwaysBack()) is FLOW
    assert way_back(dialog, EVERYBODY) is None


def test_caller_reverses_record_route_12_1_2() -> None:
    dialog = caller(ok(ROUTES))
    assert dialog.route_set == ["<sip:p3;lr>", "<sip:p2;lr>", "<sip:p1;lr>"]
    assert dialog.key == ("c1", "f9", "t1")


def test_the_2xx_sets_the_route_set_anew_13_2_2_4() -> None:
    dialog = caller(ok(ROUTES, 180))
    dialog.confirm(ok("Record-Route: <sip:q1;lr>\r\nRecord-Route: <sip:q2;lr>\r\nContact: <sip:n@10.0.0.3>\r\n"))
    assert dialog.state == CONFIRMED
    assert dialog.route_set == ["<sip:q2;lr>", "<sip:q1;lr>"]
    assert dialog.remote_target == "sip:n@10.0.0.3"


def test_loose_route_goes_to_the_first_route_with_the_target_as_uri_12_2_1_1() -> None:
    uri, routes, flow = caller(ok(ROUTES)).route()
    assert uri == "sip:z@10.0.0.1"
    assert routes == ["<sip:p3;lr>", "<sip:p2;lr>", "<sip:p1;lr>"]
    assert flow == "sip:p3;lr"


def test_strict_route_takes_the_request_uri_and_the_target_goes_last_12_2_1_1() -> None:
    dialog = caller(ok("Record-Route: <sip:p1;lr>, <sip:strict>\r\nContact: <sip:z@10.0.0.1>\r\n"))
    uri, routes, flow = dialog.route()
    assert uri == "sip:strict"
    assert routes == ["<sip:p1;lr>", "<sip:z@10.0.0.1>"]
    assert flow == "sip:strict"


def test_a_route_that_is_no_sip_uri_is_strict_12_2_1_1() -> None:
    dialog = caller(ok("Record-Route: <tel:+15551234567;lr>\r\nContact: <sip:z@10.0.0.1>\r\n"))
    assert dialog.route() == ("tel:+15551234567;lr", ["<sip:z@10.0.0.1>"], "tel:+15551234567;lr")


def test_without_a_route_set_requests_go_to_the_target() -> None:
    assert caller(ok()).route() == ("sip:b@10.0.0.1", [], "sip:b@10.0.0.1")


def test_an_unusable_route_is_a_parse_error_and_nothing_else() -> None:
    with pytest.raises(ParseError):
        caller(ok("Record-Route: <sip:p1\r\nContact: <sip:b@x>\r\n")).route()


def test_cseq_must_grow_12_2_2() -> None:
    dialog = Dialog.as_callee(invite(cseq=7), "mine", FLOW)
    assert not dialog.accepts(invite(method="INFO", cseq=7))
    assert not dialog.accepts(invite(method="INFO", cseq=6))
    assert dialog.accepts(invite(method="INFO", cseq=12))  # gaps are in order
    assert not dialog.accepts(invite(method="INFO", cseq=11))
    assert dialog.remote_cseq == 12


def test_the_callees_first_cseq_may_be_0_12_1_2() -> None:
    dialog = caller(ok())
    assert dialog.accepts(invite(method="INFO", cseq=0))
    assert not dialog.accepts(invite(method="INFO", cseq=0))


def test_local_cseq_counts_on() -> None:
    dialog = caller(ok())
    assert [dialog.next_cseq(), dialog.next_cseq()] == [2, 3]


def test_target_refresh_moves_the_target_but_not_the_routes_12_2() -> None:
    dialog = caller(ok(ROUTES))
    dialog.refresh(invite("Contact: <sip:new@10.0.0.7>\r\nRecord-Route: <sip:other;lr>\r\n"))
    assert dialog.remote_target == "sip:new@10.0.0.7"
    assert len(dialog.route_set) == 3 and "other" not in "".join(dialog.route_set)


@pytest.mark.parametrize("contact", ["", "Contact: <tel:+15551234567>\r\n"])
def test_without_a_usable_contact_the_old_target_stands(contact: str) -> None:
    dialog = caller(ok())
    dialog.refresh(invite(contact))
    assert dialog.remote_target == "sip:b@10.0.0.1"


@pytest.mark.parametrize("contact", ["Contact: *\r\n", "Contact: <tel:+15551234567>\r\n", "Contact: <mailto:a@b>\r\n"])
def test_an_invite_needs_a_sip_contact_8_1_1_8(contact: str) -> None:
    with pytest.raises(ParseError):
        Dialog.as_callee(invite(contact), "mine", FLOW)


def test_a_caller_of_rfc_2543_without_contact_is_reached_at_its_from() -> None:
    assert Dialog.as_callee(invite(""), "mine", FLOW).remote_target == "sip:a@example.com;x=1"


def test_an_answer_without_contact_is_survived() -> None:
    assert caller(ok("")).remote_target == "sip:b@example.com"


@pytest.mark.parametrize(
    ("header", "uri"),
    [
        ("Contact: sip:a@b;x=1\r\n", "sip:a@b"),
        ('Contact: "Who, me" <SIP:a@b;transport=udp>;q=0.5\r\n', "SIP:a@b;transport=udp"),
        ("Contact: <sips:a@b>, <sip:c@d>\r\n", "sips:a@b"),
        ("m: <sip:short@form>\r\n", "sip:short@form"),
    ],
)
def test_contact_shapes(header: str, uri: str) -> None:
    assert contact_of(invite(header)) == uri


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("<sip:a@b>;tag=x1", "<sip:a@b>"),
        ('"x;tag=no" <sip:a@b;tag=inside>;tag=x1', '"x;tag=no" <sip:a@b;tag=inside>'),
        ("<sip:a@b>", "<sip:a@b>"),
        ("<sip:a@b>;tag=x-1.2;user=phone", "<sip:a@b>;user=phone"),
    ],
)
def test_addresses_are_kept_without_their_tag(value: str, kept: str) -> None:
    assert without_tag(value) == kept


def test_a_route_set_from_the_answer_ends_the_short_cut_over_the_connection() -> None:
    stream = Node(Network(), "10.0.0.9")
    stream.reliable = True
    flow = Flow(stream, "10.0.0.1", 5060)
    dialog = caller(ok("Contact: <sip:b@10.0.0.1>\r\n", 180), flow=flow)
    assert way_back(dialog, EVERYBODY) == flow
    dialog.confirm(ok(ROUTES))
    assert way_back(dialog, EVERYBODY) is None


def test_behind_a_proxy_a_connection_does_not_stand_for_the_contact() -> None:
    stream = Node(Network(), "10.0.0.9")
    stream.reliable = True
    flow = Flow(stream, "10.0.0.1", 5060)
    assert way_back(Dialog.as_callee(invite(), "mine", flow), EVERYBODY) == flow
    behind = invite("Via: SIP/2.0/TCP 10.0.0.8;branch=z9hG4bK2\r\nContact: <sip:a@10.0.0.1>\r\n")
    assert way_back(Dialog.as_callee(behind, "mine", flow), EVERYBODY) is None


def test_a_dialog_knows_where_its_peer_sends_from() -> None:
    """The INVITE's source; then that of each target refresh, and of the response where another address answers."""
    other = Flow(NODE, "10.0.0.7", 5060)
    dialog = Dialog.as_callee(invite(), "mine", FLOW)
    assert dialog.source == FLOW
    dialog.refresh(invite(), other)
    assert dialog.source == other
    response = ok()
    assert caller(response).source == FLOW
    response.source = other
    assert caller(response).source == other


def test_without_a_connection_there_is_no_way_back() -> None:
    assert caller(ok()).way_back() is None


def test_a_lost_connection_is_no_way_back() -> None:
    stream = Node(Network(), "10.0.0.9")
    stream.reliable = True
    dialog = caller(ok(), flow=Flow(stream, "10.0.0.1", 5060))
    dialog.flow = way_back(dialog, EVERYBODY)
    stream.connected = lambda flow: False  # type: ignore[method-assign]
    assert dialog.way_back() is None
