"""A SIPp caller of a few steps, written where the test that needs it stands: INVITE, keys, re-INVITE, BYE."""

from collections.abc import Iterable

_HEAD = """
      Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]
      Max-Forwards: 70
      From: "Alice" <sip:+15557770001@[local_ip]:[local_port]>;tag=[pid]a[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>{tag}
      Call-ID: [call_id]
      CSeq: {cseq} {method}
      Contact: <sip:alice@[local_ip]:[local_port];transport=[transport]>"""


def scenario(name: str, steps: Iterable[str]) -> str:
    """A whole scenario of these steps."""
    return (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        f'<scenario name="{name}">\n{"".join(steps)}</scenario>\n'
    )


def request(
    method: str, cseq: int, body: str = "", kind: str = "application/sdp", *, to: str = "", via: str = ""
) -> str:
    """Sends a request; `body` stands as it is, with SIPp's keywords. `to` is the Request-URI, the contact of the 200
    where it is not given; `via` the one of the request that an ACK belongs to."""
    head = _HEAD.format(tag="" if to and method == "INVITE" else "[peer_tag_param]", cseq=cseq, method=method)
    if via:
        lines = head.split("\n")
        head = "\n".join([lines[0], f"      {via}", *lines[2:]])
    content = f"\n      Content-Type: {kind}" if body else ""
    text = "\n".join(f"      {line}" for line in body.splitlines())
    retrans = "" if method == "ACK" else ' retrans="500"'
    return (
        f"  <send{retrans}>\n    <![CDATA[\n\n      {method} {to or '[next_url]'} SIP/2.0{head}{content}\n"
        f"      Content-Length: [len]\n\n{text}\n\n    ]]>\n  </send>\n"
    )


def call(body: str) -> str:
    """Calls, and is answered."""
    return (
        request("INVITE", 1, body, to="sip:[service]@[remote_ip]:[remote_port]")
        + '  <recv response="100" optional="true"/>\n  <recv response="180" optional="true"/>\n'
        + '  <recv response="200" rrs="true"/>\n'
        + request("ACK", 1)
    )


def refused(body: str, kind: str, status: int) -> str:
    """Offers something else in the call, and is refused."""
    return (
        request("INVITE", 2, body, kind)
        + f'  <recv response="100" optional="true"/>\n  <recv response="{status}"/>\n'
        + request("ACK", 2, via="[last_Via:]")
    )


def hang_up(cseq: int) -> str:
    """Ends the call."""
    return request("BYE", cseq) + '  <recv response="200"/>\n'


def pause(milliseconds: int, most: int = 0) -> str:
    """Waits; with `most`, for anything in between."""
    if most:
        return f'  <pause distribution="uniform" min="{milliseconds}" max="{most}"/>\n'
    return f'  <pause milliseconds="{milliseconds}"/>\n'


def press(keys: str) -> str:
    """Sends keys (RFC 4733). SIPp does it from a raw socket, which only root has."""
    return f'  <nop><action><exec play_dtmf="{keys}"/></action></nop>\n'
