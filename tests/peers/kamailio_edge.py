"""Kamailio as an edge: phones connect to it by UDP, TCP and WebSocket, and it stands between them and the registrar.

To a REGISTER it adds a Path with a token of the phone's flow (RFC 3327, RFC 5626 §5.1); what comes back with that Path
as its Route goes to the phone by the flow, whatever the phone calls itself. Debian has its modules in packages of their
own: kamailio-outbound-modules, kamailio-websocket-modules.
"""

from pathlib import Path

from tests.peers.process import Process, require

_CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
log_facility=LOG_LOCAL0
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
tcp_accept_no_cl=yes
listen=udp:{host}:5060
listen=tcp:{host}:5060
listen=tcp:{host}:5080
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/:/usr/local/lib64/kamailio/modules/"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "nathelper.so"
loadmodule "stun.so"
loadmodule "outbound.so"
loadmodule "path.so"
loadmodule "xhttp.so"
loadmodule "websocket.so"
loadmodule "xlog.so"
modparam("path", "use_received", 1)
modparam("outbound", "flow_token_secret", "a secret of the test")
modparam("outbound", "force_outbound_flag", 1)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    force_rport();
    if (is_method("REGISTER")) {{
        setflag(1);
        remove_hf("Route");
        if (!add_path()) {{
            sl_send_reply("500", "No Path");
            exit;
        }}
        xlog("L_NOTICE", "EDGE REGISTER from $proto:$si:$sp\\n");
        $du = "sip:{registrar}";
        t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if ($si == "{registrar_host}" || has_totag()) {{
        if (loose_route()) {{
            xlog("L_NOTICE", "EDGE routed $rm from $si:$sp to $du $ru\\n");
            if (is_method("INVITE|SUBSCRIBE") && !has_totag()) record_route();
            t_relay();
            exit;
        }}
        if (is_method("ACK") && t_check_trans()) {{
            t_relay();
            exit;
        }}
        xlog("L_NOTICE", "EDGE strayed $rm from $si:$sp for $ru\\n");
        if (!is_method("ACK")) sl_send_reply("404", "No Route");
        exit;
    }}
    remove_hf("Route");
    setflag(1);  # a token of the flow in the Record-Route, too
    record_route();
    $du = "sip:{registrar}";
    t_relay();
}}

event_route[xhttp:request] {{
    if ($hdr(Upgrade) =~ "websocket" && $rm =~ "GET") {{
        if (ws_handle_handshake()) exit;
    }}
    xhttp_reply("404", "Not Found", "", "");
}}

event_route[core:worker-one-init] {{
    xlog("L_NOTICE", "EDGE ready\\n");
}}
"""


class KamailioEdge:
    """One running edge at `host`: SIP on 5060, WebSocket on 5080. A context manager; leaving it ends the processes."""

    def __init__(self, directory: Path, host: str, registrar: str) -> None:
        """`registrar` is `host:port` of who is behind it, over UDP."""
        program = require("kamailio", "kamailio")
        directory.mkdir(parents=True, exist_ok=True)
        self.host = host
        config = directory / "edge.cfg"
        config.write_text(_CONFIG.format(host=host, registrar=registrar, registrar_host=registrar.partition(":")[0]))
        self.process = Process(
            [program, "-f", str(config), "-DD", "-E", "-Y", str(directory), "-w", str(directory), "-m", "16", "-M", "4"]
        )
        try:
            self.process.wait_line(r"EDGE ready", 30)
        except BaseException:
            self.process.stop()
            raise

    def wait_seen(self, what: str, timeout: float = 30.0, *, count: int = 1) -> str:
        """Waits for the `count`th line such as `routed INVITE`; returns it."""
        return self.process.wait_line(rf"EDGE {what}\b", timeout, count=count)

    def stop(self) -> None:
        """Ends all of its processes."""
        self.process.stop()

    def __enter__(self) -> "KamailioEdge":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
