"""What happens to each torture message: one table for the parser, the endpoint and the socket."""

from typing import NamedTuple

DROP = 0
"""Nothing is sent back."""


class Verdict(NamedTuple):
    """`parses`: the parser takes it. `status`: the final response on the wire, DROP for none."""

    section: str
    parses: bool
    status: int
    why: str


# A user agent that serves INVITE and OPTIONS and no registrar: "busy" (486) is what its owner says to every call here,
# 405 what a REGISTER or MESSAGE gets. Where the RFC leaves a choice, `why` names the one that was made.
RFC4475: dict[str, Verdict] = {
    "wsinv": Verdict("3.1.1.1", True, 481, "it parses; To has a tag of a dialog that is not there"),
    "intmeth": Verdict("3.1.1.2", True, 501, "an unknown method"),
    "esc01": Verdict("3.1.1.3", True, 486, "a call"),
    "escnull": Verdict("3.1.1.4", True, 405, "no registrar"),
    "esc02": Verdict("3.1.1.5", True, 501, "RE%47IST%45R is not REGISTER"),
    "lwsdisp": Verdict("3.1.1.6", True, 200, "OPTIONS"),
    "longreq": Verdict("3.1.1.7", True, 486, "a call"),
    "dblreq": Verdict("3.1.1.8", True, 405, "one REGISTER; the INVITE behind it is not there"),
    "semiuri": Verdict("3.1.1.9", True, 200, "OPTIONS"),
    "transports": Verdict("3.1.1.10", True, 200, "OPTIONS"),
    "mpart01": Verdict("3.1.1.11", True, 405, "MESSAGE is known and not served"),
    "unreason": Verdict("3.1.1.12", True, DROP, "a response to nothing that we asked"),
    "noreason": Verdict("3.1.1.13", True, DROP, "a response to nothing that we asked"),
    "badinv01": Verdict("3.1.2.1", False, 400, "stray separators in Via and Contact"),
    "clerr": Verdict("3.1.2.2", False, 400, "chosen: answered; Content-Length beyond the datagram"),
    "ncl": Verdict("3.1.2.3", False, 400, "chosen: answered; negative Content-Length"),
    "scalar02": Verdict("3.1.2.4", False, 400, "CSeq, Max-Forwards and Expires over their range"),
    "scalarlg": Verdict("3.1.2.5", False, DROP, "a response with an overlong CSeq"),
    "quotbal": Verdict("3.1.2.6", False, 400, "a quote that is not closed"),
    "ltgtruri": Verdict("3.1.2.7", False, 400, "<> around the Request-URI"),
    "lwsruri": Verdict("3.1.2.8", False, 400, "white space inside the Request-URI"),
    "lwsstart": Verdict("3.1.2.9", False, 400, "chosen: answered; several spaces in the request line"),
    "trws": Verdict("3.1.2.10", False, 400, "chosen: refused; spaces at the end of the request line"),
    "escruri": Verdict("3.1.2.11", True, 486, "chosen: a call, the headers in its Request-URI are ignored"),
    "baddate": Verdict("3.1.2.12", True, 486, "chosen: a call, Date is ignored"),
    "regbadct": Verdict("3.1.2.13", False, 400, "a Contact with ? that is not in <>"),
    "badaspec": Verdict("3.1.2.14", False, 400, "spaces inside <>"),
    "baddn": Verdict("3.1.2.15", False, 400, "a comma in a name without quotes"),
    "badvers": Verdict("3.1.2.16", False, 505, "SIP/7.0"),
    "mismatch01": Verdict("3.1.2.17", False, 400, "CSeq names another method"),
    "mismatch02": Verdict("3.1.2.18", False, 400, "chosen: 400 before 501"),
    "bigcode": Verdict("3.1.2.19", False, DROP, "status 4294967301 is not 5 modulo 2**32"),
    "badbranch": Verdict("3.2.1", True, 200, "chosen: matched by the rules of RFC 2543"),
    "insuf": Verdict("3.3.1", False, 400, "no Call-ID, From or To"),
    "unkscm": Verdict("3.3.2", True, 416, "a scheme that nobody knows"),
    "novelsc": Verdict("3.3.3", True, 416, "a scheme that is not ours"),
    "unksm2": Verdict("3.3.4", True, 400, "chosen: a REGISTER whose To is no SIP URI is malformed"),
    "bext01": Verdict("3.3.5", True, 420, "Require with unknown options"),
    "invut": Verdict("3.3.6", True, 415, "a body that nobody understands"),
    "regaut01": Verdict("3.3.7", True, 405, "as without Authorization: no registrar"),
    "multi01": Verdict("3.3.8", False, 400, "two values where there can be one"),
    "mcl01": Verdict("3.3.9", False, 400, "chosen: answered; two Content-Length that differ"),
    "bcast": Verdict("3.3.10", True, DROP, "a response to nothing that we asked, and nothing is forwarded"),
    "zeromf": Verdict("3.3.11", True, 200, "answered here, not forwarded"),
    "cparam01": Verdict("3.3.12", True, 405, "no registrar"),
    "cparam02": Verdict("3.3.13", True, 405, "no registrar"),
    "regescrt": Verdict("3.3.14", True, 405, "no registrar"),
    "sdp01": Verdict("3.3.15", True, 406, "chosen: refused; it could not read our answer"),
    "inv2543": Verdict("3.4.1", False, 400, "chosen: refused; no From tag"),
    "test": Verdict("-", False, DROP, "of no section: no version in the request line, a line without a colon"),
}

# RFC 5118 names its messages by their subject. INVITEs are calls, REGISTERs find no registrar, BYEs no dialog.
RFC5118: dict[str, Verdict] = {
    # The next two share branch and sent-by: what is malformed may leave no transaction behind, or it answers the other.
    "ipv6-bad": Verdict("4.2", False, 400, "an IPv6 address without brackets in the Request-URI"),
    "ipv6-good": Verdict("4.1", True, 405, "an IPv6 reference in brackets"),
    "port-ambiguous": Verdict("4.3", True, 405, "the last group belongs to the address"),
    "port-unambiguous": Verdict("4.4", True, 405, "port 5070"),
    "via-received-param-with-delim": Verdict("4.5", True, 481, "received in brackets"),
    "via-received-param-no-delim": Verdict("4.5", True, 200, "received without brackets"),
    # Its Content-Length says 268 of a body that has 251 bytes: by RFC 3261 §18.3 that is 400, whatever the address
    # family. With the right length it parses; see test_the_body_of_ipv6_in_sdp.
    "ipv6-in-sdp": Verdict("4.6", False, 400, "a body shorter than its Content-Length"),
    "mult-ip-in-header": Verdict("4.7", True, 481, "IPv4 and IPv6 in Via"),
    "mult-ip-in-sdp": Verdict("4.8", True, 486, "IPv4 and IPv6 in the session description"),
    "ipv4-mapped-ipv6": Verdict("4.9", True, 486, "an IPv4 address inside an IPv6 one"),
    "ipv6-correct-abnf-2-colons": Verdict("4.10", True, 200, "two colons"),
    "ipv6-bug-abnf-3-colons": Verdict("4.10", True, 200, "three colons, as RFC 3261's grammar led to"),
}
