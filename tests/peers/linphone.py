"""linphonec as a phone: a home of its own, files in place of a sound card, orders on its standard input.

Debian's linphone-cli. What it hears is recorded as its listener would hear it: behind its jitter buffer, which leaves
out or puts in a few milliseconds when it likes to.
"""

import re
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from types import MappingProxyType, TracebackType
from typing import Self

from tests.peers.audio import Sound, read_wav, tone_seconds
from tests.peers.process import Process, require

_CONFIG = """\
[sip]
sip_port={port}
sip_tcp_port={stream}
sip_tls_port={stream}
bind_address={host}
{contact}guess_hostname=0
use_ipv6=0
use_rfc2833={events}
use_info={info}
media_encryption={encryption}
{more}
[net]
mtu=1300

[rtp]
audio_rtp_port={rtp}
bind_address={host}
audio_adaptive_jitt_comp_enabled=0
audio_jitt_comp=40

[sound]
echocancellation=0
agc=0

[misc]
uuid={uuid}
"""

# After what the driver knows: the proxy is whom it registers with.
_ACCOUNT = """
[proxy_0]
reg_proxy=<sip:{registrar}>
reg_identity=<sip:{user}@{domain}>
reg_expires={expires}
reg_sendregister=1
publish={publish}

[auth_info_0]
username={user}
passwd={password}
"""


class Linphone:
    """One running phone. A context manager; leaving it ends the process."""

    def __init__(
        self,
        directory: Path,
        host: str,
        port: int,
        *,
        user: str = "linphone",
        codecs: tuple[str, ...] = ("PCMU", "PCMA"),
        keys: str = "rfc4733",
        encryption: str = "none",
        settings: Mapping[str, str] = MappingProxyType({}),
        registrar: str = "",
        password: str = "",
        expires: int = 600,
        publish: bool = False,
    ) -> None:
        """Listens on UDP `host:port`; RTP is ten ports above it. `keys` are sent as "rfc4733" or "info"; `encryption`
        is "none" or "srtp"; `settings` are more of those that linphone calls [sip]. With a `registrar`
        ("127.0.0.1:5061;transport=tls") it registers there as `user`, for `expires` s, over any transport, and tells
        its presence (`publish`)."""
        program = require("linphonec", "linphone-cli")
        for name in (".config/linphone", ".local/share/linphone"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self.directory, self.host, self.port, self.user = directory, host, port, user
        self.recording = directory / "heard.wav"
        config = directory / "linphonerc"
        config.write_text(
            _CONFIG.format(
                host=host,
                port=port,
                rtp=port + 10,
                contact="" if registrar else f"contact=sip:{user}@{host}:{port}\n",
                stream=-1 if registrar else 0,  # -1: any port
                uuid=uuid.uuid5(uuid.NAMESPACE_URL, f"{user}@{host}") if registrar else host,
                events=int(keys == "rfc4733"),
                info=int(keys == "info"),
                encryption=encryption,
                more="".join(f"{name}={value}\n" for name, value in settings.items())
                + ("default_proxy=0\n" if registrar else ""),
            )
        )
        if registrar:
            domain = registrar.partition(";")[0].partition(":")[0]
            with config.open("a") as file:
                file.write(
                    _ACCOUNT.format(
                        registrar=registrar,
                        user=user,
                        domain=domain,
                        password=password,
                        expires=expires,
                        publish=int(publish),
                    )
                )
        self.process = Process(
            [program, "-c", str(config)], env={"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}, told=True
        )
        try:
            self._set_up(codecs)
        except BaseException:
            self.process.stop()
            raise

    def _set_up(self, codecs: tuple[str, ...]) -> None:
        self.tell("ipv6 disable", r"ipv6 use disabled")
        self.tell("soundcard use files", r"Using wav files")
        self.tell("codec list", r"^ ?\d+: L16 \(44100\) ")
        for number, name, state in re.findall(r"^ ?(\d+): (\S+) \(\d+\) (\w+)", self.process.log, re.MULTILINE):
            wanted = "enable" if name in codecs else "disable"
            if state != f"{wanted}d":
                self.tell(f"codec {wanted} {number}", rf"^ ?{number}: .* {wanted}d")
        self.process.tell(f"record {self.recording}")

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"sip:{self.user}@{self.host}:{self.port}"

    def tell(self, order: str, answer: str, timeout: float = 30.0) -> None:
        """Gives an order and waits for a line that it had not said before and that matches `answer`."""
        before = len(re.findall(answer, self.process.log, re.MULTILINE))
        self.process.tell(order)
        self.process.wait_line(answer, timeout, count=before + 1)

    def wait_registered(self, timeout: float = 30.0, *, registered: bool = True) -> None:
        """Waits until it is registered, or no longer. It does not tell by itself: it is asked again and again."""
        deadline, tick = monotonic() + timeout, threading.Event()
        state = r"^(registered, identity=.*|registered=-?\d+)$"
        while True:
            self.tell("status register", state)
            last = re.findall(state, self.process.log, re.MULTILINE)[-1]
            if last.startswith("registered,") == registered:
                return
            assert monotonic() < deadline, f"linphone: {last}\n{self.process.log}"
            tick.wait(0.2)

    def dial(self, uri: str) -> None:
        """Calls, and waits until the call is answered."""
        self.tell(f"call {uri}", r"Media streams established with", 15)

    def press(self, key: str) -> None:
        """Presses a key in the call."""
        self.process.tell(key)

    def play(self, path: Path) -> None:
        """Talks: what is in the file."""
        self.process.tell(f"play {path}")

    def hangup(self) -> None:
        """Ends the call."""
        self.process.tell("terminate")
        self.wait_ended()

    def wait_ended(self, timeout: float = 30.0) -> None:
        """Waits until the call is over, whoever ended it."""
        self.process.wait_line(r"Call \d+ with .* (ended|terminated|error)", timeout)

    def heard(self) -> Sound:
        """What it has heard, up to a second or so ago: it writes in large blocks."""
        return read_wav(self.recording)

    def wait_heard(self, pitch: float, seconds: float, timeout: float = 30.0) -> None:
        """Waits until it has heard so much of a tone of `pitch` Hz."""
        self._wait(lambda: tone_seconds(self.heard(), pitch) >= seconds, f"{seconds} s of {pitch} Hz", timeout)

    def _wait(self, happened: Callable[[], bool], what: str, timeout: float) -> None:
        deadline, tick = monotonic() + timeout, threading.Event()
        while not happened():
            assert monotonic() < deadline, f"linphone did not hear {what}\n{self.process.log}"
            tick.wait(0.1)  # the file grows without telling

    def kill(self) -> None:
        """Ends it as a power cut does: it says goodbye to nobody."""
        self.process.kill()

    def stop(self) -> None:
        """Ends the phone."""
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()
