"""A SIPp caller and a SIPp callee whose call uses the route set both ways: re-INVITE from each side, then a BYE.

Both record routes and follow them (RFC 3261 §12.1, §12.2.1.1); what the proxy between them says it saw is the proof.
"""

from pathlib import Path
from typing import Literal

from tests.peers.process import Process, require, wait_bound

Side = Literal["caller", "callee"]

_SDP = """
v=0
o=sipp 1 {version} IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[local_ip_type] [local_ip]
t=0 0
m=audio {port} RTP/AVP 0
a=rtpmap:0 PCMU/8000
a={direction}
"""


def _sdp(version: int, direction: str, port: int = 6990) -> str:
    return _SDP.format(version=version, direction=direction, port=port)


def _send(text: str, body: str = "", *, retrans: bool = True) -> str:
    type_line = "Content-Type: application/sdp\n" if body else ""
    message = f"{text.strip()}\n{type_line}Content-Length: [len]\n{body or chr(10)}"
    return f"<send{' retrans=' + chr(34) + '500' + chr(34) if retrans else ''}><![CDATA[\n{message}\n]]></send>\n"


def _caller_request(method: str, cseq: int, branch: str = "[branch]", body: str = "", *, retrans: bool = True) -> str:
    return _send(
        f"""
{method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}
[routes]
From: <sip:[field0]@[local_ip]:[local_port]>;tag=[pid]caller[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: {cseq} {method}
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: 70
""",
        body,
        retrans=retrans,
    )


_CALLER_INVITE = """
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[field0]@[local_ip]:[local_port]>;tag=[pid]caller[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: 70
"""

_RESPONSE = """
SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:]{tag}
[last_Call-ID:]
[last_CSeq:]
[last_Record-Route:]
Contact: <sip:{who}@[local_ip]:[local_port]>
"""


def _respond(status: str, who: Side, body: str = "", *, tag: bool = False, retrans: bool = False) -> str:
    text = _RESPONSE.format(status=status, who=who, tag=";tag=[pid]callee[call_number]" if tag else "")
    return _send(text, body, retrans=retrans)


def _callee_request(method: str, cseq: int, body: str = "", *, retrans: bool = True) -> str:
    return _send(
        f"""
{method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: [$to];tag=[pid]callee[call_number]
To: [$from]
Call-ID: [call_id]
CSeq: {cseq} {method}
Contact: <sip:callee@[local_ip]:[local_port]>
Max-Forwards: 70
""",
        body,
        retrans=retrans,
    )


def _scenario(name: str, steps: list[str]) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">\n{"".join(steps)}</scenario>\n'


def caller_scenario(bye: Side) -> str:
    """Calls, re-INVITEs (hold), answers the other side's re-INVITE, and hangs up or waits for the BYE."""
    return _scenario(
        "route set, caller",
        [
            _send(_CALLER_INVITE, _sdp(1, "sendrecv")),
            '<recv response="100" optional="true"/><recv response="180" optional="true"/>\n',
            '<recv response="183" optional="true"/><recv response="200" rrs="true"/>\n',
            _caller_request("ACK", 1, retrans=False),
            _caller_request("INVITE", 2, body=_sdp(2, "sendonly")),
            '<recv response="100" optional="true"/><recv response="200"/>\n',
            _caller_request("ACK", 2, retrans=False),
            '<recv request="INVITE"/>\n',
            _respond("200 OK", "caller", _sdp(3, "sendrecv"), retrans=True),
            '<recv request="ACK"/>\n',
            *(
                [_caller_request("BYE", 3), '<recv response="200"/>\n']
                if bye == "caller"
                else ['<recv request="BYE"/>\n', _respond("200 OK", "caller")]
            ),
        ],
    )


def callee_scenario(bye: Side) -> str:
    """Rings, answers, answers a re-INVITE, re-INVITEs itself, and waits for the BYE or hangs up."""
    remember = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{name}:" assign_to="{name.lower()}"/>' for name in ("From", "To")
    )
    return _scenario(
        "route set, callee",
        [
            f'<recv request="INVITE" rrs="true"><action>{remember}</action></recv>\n',
            _respond("180 Ringing", "callee", tag=True),
            _respond("200 OK", "callee", _sdp(1, "sendrecv"), tag=True, retrans=True),
            '<recv request="ACK"/>\n<recv request="INVITE"/>\n',
            _respond("200 OK", "callee", _sdp(2, "recvonly"), retrans=True),
            '<recv request="ACK"/>\n',
            _callee_request("INVITE", 1, _sdp(3, "sendrecv", 6992)),
            '<recv response="100" optional="true"/><recv response="200"/>\n',
            _callee_request("ACK", 1, retrans=False),
            *(
                ['<recv request="BYE"/>\n', _respond("200 OK", "callee")]
                if bye == "caller"
                else [_callee_request("BYE", 2), '<recv response="200"/>\n']
            ),
        ],
    )


def start(
    side: Side,
    directory: Path,
    host: str,
    port: int,
    *,
    bye: Side,
    to: str = "",
    service: str = "bob",
    source: str = "",
) -> Process:
    """Starts one SIPp for one call; its exit code is 0 when the call went as written. `to` (caller) is `host:port`."""
    program = require("sipp", "sip-tester")
    directory.mkdir(parents=True, exist_ok=True)
    scenario = directory / f"{side}.xml"
    scenario.write_text(caller_scenario(bye) if side == "caller" else callee_scenario(bye))
    numbers = directory / f"{side}.csv"
    numbers.write_text(f"SEQUENTIAL\n{source or side};\n")
    argv = [program, *([to] if side == "caller" else []), "-sf", str(scenario), "-inf", str(numbers)]
    argv += ["-i", host, "-p", str(port), "-mi", host, "-m", "1", "-s", service, "-nostdin", "-trace_err"]
    argv += ["-error_file", str(directory / f"{side}_errors.log"), "-timeout", "20s", "-timeout_error"]
    argv += ["-recv_timeout", "10000"]
    process = Process(argv, cwd=directory, env={"TERM": "dumb"})
    try:
        wait_bound(host, port)
    except BaseException:
        process.stop()
        raise
    return process


def finish(process: Process, directory: Path, timeout: float = 30.0) -> None:
    """Waits for one side's end; fails with its errors when the call did not go as written."""
    code = process.wait(timeout)
    if code:
        errors = "\n".join(path.read_text(errors="replace") for path in sorted(directory.glob("*_errors.log")))
        raise AssertionError(f"SIPp says {code}:\n{errors}\n{process.log[-3000:]}")
