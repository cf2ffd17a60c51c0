"""Kamailio as a provider's proxy: it record-routes, routes loosely, and says what it did with every request.

Debian's `kamailio` has every module that is needed. It runs as the calling user, with one child, in the foreground.
"""

from pathlib import Path

from tests.certificates import Files
from tests.peers.process import Process, require

_CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
log_facility=LOG_LOCAL0
children=1
auto_aliases=no
disable_tcp=no
tcp_children=1
dns=no
rev_dns=no
listen=udp:{host}:{port}
listen=tcp:{host}:{port}
{tls_listen}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/:/usr/local/lib64/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
{tls_module}
modparam("rr", "enable_full_lr", {full_lr})
modparam("rr", "append_fromtag", 1)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if (is_method("CANCEL")) {{
        xlog("L_NOTICE", "PROXY cancel CANCEL from $si:$sp\\n");
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{
            xlog("L_NOTICE", "PROXY loose $rm from $si:$sp to $du $ru\\n");
            if (is_method("INVITE")) record_route();
            t_relay();
            exit;
        }}
        if (is_method("ACK") && t_check_trans()) {{
            xlog("L_NOTICE", "PROXY absorbed ACK from $si:$sp\\n");
            t_relay();
            exit;
        }}
        xlog("L_NOTICE", "PROXY strayed $rm from $si:$sp for $ru\\n");
        if (!is_method("ACK")) sl_send_reply("404", "No Route");
        exit;
    }}
    if (is_method("INVITE")) {{
        record_route();
        xlog("L_NOTICE", "PROXY initial INVITE from $si:$sp for $ru\\n");
        t_on_reply("HEARD");
        $du = "sip:{next_hop}";
        t_relay();
        exit;
    }}
    sl_send_reply("405", "Method Not Allowed");
}}

event_route[core:worker-one-init] {{
    xlog("L_NOTICE", "PROXY ready\n");
}}

onreply_route[HEARD] {{
    xlog("L_NOTICE", "PROXY reply $rs $rm from $si:$sp\\n");
}}
"""

_TLS = """\
[server:default]
method = TLSv1.2+
certificate = {certificate}
private_key = {key}
verify_certificate = no
require_certificate = no
[client:default]
method = TLSv1.2+
verify_certificate = no
"""


class Kamailio:
    """One running proxy that sends every new call to `next_hop`. A context manager; leaving it ends the processes."""

    def __init__(
        self, directory: Path, host: str, port: int, next_hop: str, *, full_lr: bool = False, tls: Files | None = None
    ) -> None:
        """`next_hop` is `host:port[;transport=...]`; `full_lr` writes `;lr=on`, which some proxies send, for `;lr`.
        With `tls`, a certificate, it listens on TLS as well, one port above the other."""
        program = require("kamailio", "kamailio")
        directory.mkdir(parents=True, exist_ok=True)
        self.host, self.port = host, port
        config = directory / "kamailio.cfg"
        tls_listen = f"enable_tls=yes\nlisten=tls:{host}:{port + 1}" if tls else ""
        settings = directory / "tls.cfg"
        tls_module = f'loadmodule "tls.so"\nmodparam("tls", "config", "{settings}")' if tls else ""
        if tls:
            settings.write_text(_TLS.format(certificate=tls.certificate, key=tls.key))
        config.write_text(
            _CONFIG.format(
                host=host,
                port=port,
                next_hop=next_hop,
                full_lr=int(full_lr),
                tls_listen=tls_listen,
                tls_module=tls_module,
            )
        )
        self.process = Process(
            [
                program,
                "-f",
                str(config),
                "-DD",
                "-E",
                "-Y",
                str(directory),
                "-w",
                str(directory),
                "-m",
                "64" if tls else "16",
                "-M",
                "8" if tls else "4",
            ]
        )
        try:
            self.process.wait_line(r"PROXY ready", 30)
        except BaseException:
            self.process.stop()
            raise

    def wait_seen(self, what: str, timeout: float = 30.0, *, count: int = 1) -> str:
        """Waits for the `count`th line such as `loose BYE`, `initial INVITE` or `reply 200 INVITE`; returns it."""
        return self.process.wait_line(rf"PROXY {what}\b", timeout, count=count)

    def seen(self) -> list[str]:
        """What it did with requests, in order: `initial INVITE`, `loose ACK`, ... ; a retransmission counts once."""
        did: list[str] = []
        for line in self.process.log.splitlines():
            words = line.partition("PROXY ")[2].split()[:2]
            if len(words) == 2 and words[0] != "reply" and did[-1:] != [" ".join(words)]:
                did.append(" ".join(words))
        return did

    def stop(self) -> None:
        """Ends all of its processes."""
        self.process.stop()

    def __enter__(self) -> "Kamailio":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
