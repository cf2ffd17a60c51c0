"""Kamailio as the SIP proxy of Microsoft Teams Direct Routing, as its documentation describes it: TLS alone and with
certificates of both sides, OPTIONS first, and a border controller that shows its name wherever it says who it is.

What comes over TLS is the border controller's, and goes on to a SIPp over UDP; what SIPp sends goes to the border
controller. What Teams refuses is refused here, and said.
"""

from pathlib import Path

from tests.certificates import Authority, Files
from tests.peers.process import Process, require

NAME = "sip.pstnhub.example"

_TLS = """\
[server:default]
method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
certificate = {certificate}
private_key = {key}
ca_list = {ca}

[client:default]
method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
certificate = {certificate}
private_key = {key}
ca_list = {ca}
"""

_CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
children=1
auto_aliases=no
disable_tcp=no
enable_tls=yes
tcp_children=1
dns=no
rev_dns=no
listen=udp:{host}:{udp}
listen=tls:{host}:{tls}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/:/usr/local/lib64/kamailio/modules/"
loadmodule "tls.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
modparam("tls", "config", "{tls_config}")
modparam("tls", "tls_force_run", 1)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if ($proto == "tls") route(CHECK);
    if (is_method("CANCEL")) {{
        xlog("L_NOTICE", "TEAMS took $rm over $proto\\n");
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{
            xlog("L_NOTICE", "TEAMS took $rm over $proto for $ru\\n");
            if (is_method("INVITE|UPDATE")) record_route();
            if ($rd == "{sbc}") $du = "sip:{sbc_address};transport=tls";
            t_relay();
            exit;
        }}
        if (is_method("ACK") && t_check_trans()) {{
            t_relay();
            exit;
        }}
        xlog("L_NOTICE", "TEAMS strayed $rm over $proto for $ru\\n");
        if (!is_method("ACK")) sl_send_reply("404", "No Route");
        exit;
    }}
    if (is_method("OPTIONS")) {{
        xlog("L_NOTICE", "TEAMS took $rm over $proto\\n");
        sl_send_reply("200", "OK");
        exit;
    }}
    if (is_method("INVITE")) {{
        xlog("L_NOTICE", "TEAMS took $rm over $proto for $ru\\n");
        record_route();
        if ($proto == "tls") {{
            $du = "sip:{phone}";
        }} else {{
            $ru = "sip:" + $rU + "@{sbc};user=phone;transport=tls";
            $du = "sip:{sbc_address};transport=tls";
        }}
        t_relay();
        exit;
    }}
    sl_send_reply("405", "Method Not Allowed");
}}

# What has to be true of everything that a border controller sends.
route[CHECK] {{
    if ($tls_peer_verified != "1") {{
        $var(fault) = "no certificate that was verified";
    }} else if ($tls_peer_subject_cn != "{sbc}") {{
        $var(fault) = "a certificate of $tls_peer_subject_cn";
    }} else if (is_present_hf("Replaces")) {{
        $var(fault) = "Replaces";
    }} else if (!($(hdr(Via)[0]) =~ "^SIP/2.0/TLS {pattern}:{sbc_port};")) {{
        $var(fault) = "the Via";
    }} else if ($ru =~ "^sips:" || $ct =~ "sips:") {{
        $var(fault) = "a SIPS URI";
    }} else if (is_method("INVITE|OPTIONS|UPDATE") && !($ct =~ "^<sip:{pattern}:{sbc_port};transport=tls>")) {{
        $var(fault) = "the Contact";
    }} else if (!has_totag() && $fd != "{sbc}") {{
        $var(fault) = "the From";
    }} else if (is_method("OPTIONS") && $fU != $null) {{
        $var(fault) = "a user in the From";
    }} else {{
        return;
    }}
    xlog("L_NOTICE", "TEAMS refused $rm: $var(fault)\\n");
    if (!is_method("ACK")) sl_send_reply("403", "Forbidden");
    exit;
}}

event_route[core:worker-one-init] {{
    xlog("L_NOTICE", "TEAMS ready\\n");
}}

onreply_route {{
    if ($proto == "tls" && $rs < 300 && $rs > 100 && $rm == "INVITE") {{
        xlog("L_NOTICE", "TEAMS answered $rs $rm with $ct\\n");
    }}
}}
"""


class Teams:
    """One running proxy. A context manager; leaving it ends the processes.

    `sbc` is the name of the border controller, which is at `sbc_address`, a host:port; `phone` a host:port of UDP."""

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        host: str,
        *,
        tls: int,
        udp: int,
        sbc: str,
        sbc_address: str,
        phone: str,
        certificate: Files | None = None,
    ) -> None:
        program = require("kamailio", "kamailio")
        directory.mkdir(parents=True, exist_ok=True)
        files = certificate or authority.issue(NAME, common=NAME)
        tls_config, config = directory / "tls.cfg", directory / "kamailio.cfg"
        tls_config.write_text(_TLS.format(certificate=files.certificate, key=files.key, ca=authority.ca))
        config.write_text(
            _CONFIG.format(
                host=host,
                tls=tls,
                udp=udp,
                tls_config=tls_config,
                sbc=sbc,
                pattern=sbc.replace(".", "[.]"),
                sbc_port=sbc_address.rpartition(":")[2],
                sbc_address=sbc_address,
                phone=phone,
            )
        )
        self.process = Process(
            [program, "-f", str(config), "-DD", "-E", "-Y", str(directory), "-w", str(directory), "-m", "64", "-M", "8"]
        )
        try:
            self.process.wait_line(r"TEAMS ready", 30)
        except BaseException:
            self.process.stop()
            raise

    def wait(self, what: str, timeout: float = 30.0, *, count: int = 1) -> str:
        """Waits for the `count`th line such as `took OPTIONS` or `refused INVITE: the Contact`; returns it."""
        return self.process.wait_line(rf"TEAMS {what}", timeout, count=count)

    @property
    def log(self) -> str:
        """All that it has said."""
        return self.process.log

    def stop(self) -> None:
        """Ends all of its processes."""
        self.process.stop()

    def __enter__(self) -> "Teams":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
