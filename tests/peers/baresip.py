"""baresip as a phone: a configuration directory of its own, no sound card, orders and events over ctrl_tcp.

It plays a sine of its own pitch and records what it decodes, so that a test can tell whose voice arrived.
Debian's baresip-core has every module that is needed.
"""

import json
import math
import re
import socket
import struct
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from tests.peers.process import Process, require

RATE = 8000
"""Samples per second of what it says."""

Event = dict[str, Any]

# Its SIP is bound to its own address. Its RTP is bound to none, and leaves from 127.0.0.1: so its descriptions have to
# say that, as nobody is heard from where the signalling does not make it plausible (RFC 7362).
_CONFIG = """\
poll_method             epoll
sip_listen              {host}:{sip_port}
net_interface           127.0.0.1
call_local_timeout      30
call_max_calls          8
audio_path              {directory}
audio_source            aufile,{directory}/voice.wav
audio_player            aubridge,player
audio_alert             aubridge,alert
ausrc_srate             {rate}
auplay_srate            {rate}
ausrc_channels          1
auplay_channels         1
audio_buffer            20-160
rtp_ports               {rtp_low}-{rtp_high}
rtcp_mux                no
jitter_buffer_delay     0-1
rtp_timeout             0
module_path             {modules}
module                  g711.so
module                  g722.so
module                  aufile.so
module                  aubridge.so
module                  sndfile.so
{more}module_tmp              account.so
module_app              menu.so
module_app              ctrl_tcp.so
ctrl_tcp_listen         {host}:{control_port}
snd_path                {directory}
menu_bell               no
ringback_disabled       yes
"""

_MODULES = ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules", "/usr/local/lib/baresip/modules")


class Baresip:
    """One running phone. A context manager; leaving it ends the process."""

    def __init__(
        self,
        directory: Path,
        host: str,
        sip_port: int,
        *,
        user: str = "phone",
        pitch: int = 440,
        auto_answer: bool = False,
        codecs: str = "PCMU/8000/1,PCMA/8000/1",
        trace: bool = False,
        password: str = "",
        modules: Sequence[str] = (),
        account: str = "",
        registrar: str = "",
        expires: int = 600,
        ca: Path | None = None,
        line: str = "",
    ) -> None:
        """Listens on UDP and TCP `host:sip_port`, on TLS one above it, for control two above it; RTP ports are from 40
        above it on. `pitch` is the sine that it plays, in Hz. `directory` takes its configuration and recordings.
        With a `password`, it logs in as `user` where it is asked to. `modules` are loaded besides, with the options in
        their lines ("opus.so"); `account` is added to the account's parameters ("mediaenc=srtp"). With a `registrar`
        ("127.0.0.1:5061;transport=tls") it registers there as `user`, for `expires` s; `ca` is the file of those whose
        certificates it takes. `line` is the account in place of all that."""
        program = require("baresip", "baresip-core")
        folder = next((path for path in _MODULES if Path(path).is_dir()), _MODULES[0])
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.host, self.sip_port, self.user, self.pitch = directory, host, sip_port, user, pitch
        self.events: list[Event] = []
        self._buffer = b""
        loaded = [*modules, *(["uuid.so"] if registrar else [])]  # it names its instance (RFC 5626)
        (directory / "config").write_text(
            _CONFIG.format(
                host=host,
                sip_port=sip_port,
                control_port=sip_port + 2,
                rtp_low=sip_port + 40,
                rtp_high=sip_port + 58,
                directory=directory,
                modules=folder,
                rate=RATE,
                more="".join(f"module                  {name}\n" for name in loaded)
                + (f"sip_cafile              {ca}\n" if ca else ""),
            )
        )
        mode = "auto" if auto_answer else "manual"
        more = f";{account}" if account else ""
        login = f";auth_user={user};auth_pass={password}" if password else ""
        self.home = registrar or f"{host}:{sip_port}"
        regint = expires if registrar else 0
        made = f"<sip:{user}@{self.home}>;regint={regint};answermode={mode};audio_codecs={codecs}{login}{more}"
        (directory / "accounts").write_text(f"{line or made}\n")
        (directory / "contacts").write_text("")
        write_sine(directory / "voice.wav", pitch, 30.0)
        argv = [program, "-4", "-f", str(directory), *(["-s"] if trace else [])]
        self.process = Process(argv, env={"HOME": str(directory)})
        try:
            self.process.wait_line(r"baresip is ready", 30)
            self._control = socket.create_connection((host, sip_port + 2), timeout=5)
        except BaseException:
            self.process.stop()
            raise

    @property
    def uri(self) -> str:
        """Its address of record; without a registrar that is also where it listens."""
        return f"sip:{self.user}@{self.home}"

    def command(self, command: str, params: str = "", timeout: float = 30.0) -> str:
        """Gives an order (`accept`, `hold`, `resume`, ...) and returns the answer's text; fails when it is refused."""
        order = {"command": command, "token": f"{command}-{len(self.events)}"} | ({"params": params} if params else {})
        data = json.dumps(order).encode()
        self._control.sendall(b"%d:%s," % (len(data), data))
        deadline = monotonic() + timeout
        while True:
            message = self._next(deadline, f"the answer to {order}")
            if not message.get("response"):
                self.events.append(message)
            elif message.get("token") == order["token"]:
                assert message["ok"], f"baresip refuses {order}: {message}"
                return str(message["data"])

    def wait_registered(self, timeout: float = 30.0, *, count: int = 1) -> None:
        """Waits until it has been registered `count` times. (It has no event for the first, which is over before
        anybody can have asked for events.)"""
        self.process.wait_line(r"200 OK .*\[\d+ bindings?\]", timeout, count=count)

    def dial(self, uri: str) -> None:
        """Begins a call; what becomes of it is told by events."""
        self.command("dial", uri)

    def hangup(self) -> None:
        """Ends the current call, or refuses an incoming one."""
        self.command("hangup")

    def hold(self, timeout: float = 30.0) -> None:
        """Puts the other side on hold and waits until the re-INVITE is over. Needs `trace`."""
        self._reinvite("hold", timeout)

    def resume(self, timeout: float = 30.0) -> None:
        """Takes the other side back and waits until the re-INVITE is over. Needs `trace`."""
        self._reinvite("resume", timeout)

    def _reinvite(self, command: str, timeout: float) -> None:
        said = self._lines(r"^ACK ")
        self.command(command)
        self.process.wait_line(r"^ACK ", timeout, count=said + 1)

    def wait_receiving(self, timeout: float = 30.0) -> None:
        """Waits for ten more status lines (a second's worth) that show sound coming in. For a call that was held:
        baresip 1.0 records nothing more after a resume, though it receives and plays."""
        pattern = r"audio=\d+/[1-9]\d* "
        self.process.wait_line(pattern, timeout, count=self._lines(pattern) + 10)

    def _lines(self, pattern: str) -> int:
        return len(re.findall(pattern, self.process.log, re.MULTILINE))

    def wait_event(self, kind: str, timeout: float = 30.0, match: Callable[[Event], bool] | None = None) -> Event:
        """The next event of `kind` (CALL_INCOMING, CALL_RINGING, CALL_PROGRESS, CALL_ESTABLISHED, CALL_CLOSED ...),
        taken out of `events`; one that came earlier counts."""
        deadline = monotonic() + timeout
        for at, event in enumerate(self.events):
            if event.get("type") == kind and (match is None or match(event)):
                return self.events.pop(at)
        while True:
            event = self._next(deadline, f"the event {kind}")
            if event.get("type") == kind and (match is None or match(event)):
                return event
            self.events.append(event)

    def wait_heard(self, pitch: int, seconds: float, timeout: float = 30.0) -> float:
        """Waits until the recordings of what arrived hold `seconds` of a tone of `pitch` Hz; returns what they hold."""
        deadline = monotonic() + timeout
        while True:
            heard = self.recorded(pitch)
            if heard >= seconds:
                return heard
            left = deadline - monotonic()
            if left <= 0:
                files = {p.name: p.stat().st_size for p in self.directory.glob("dump-*.wav")}
                raise AssertionError(
                    f"baresip {self.user} heard {heard:.2f} of {seconds} s at {pitch} Hz; {files}\n{self.process.log}"
                )
            self._collect(min(0.1, left))  # the recording grows without telling: look again after events or 100 ms

    def recorded(self, pitch: int) -> float:
        """How many seconds of a tone of `pitch` Hz have arrived so far."""
        return sum(heard_seconds(path, pitch) for path in self.directory.glob("dump-*-dec.wav"))

    def kill(self) -> None:
        """Ends it as a power cut does: it says goodbye to nobody."""
        self._control.close()
        self.process.kill()

    def stop(self) -> None:
        """Ends the phone; one that is registered takes its leave before."""
        self._control.close()
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def _collect(self, seconds: float) -> None:
        try:
            message = self._next(monotonic() + seconds, "an event")
        except AssertionError:
            return
        self.events.append(message)

    def _next(self, deadline: float, what: str) -> Event:
        """The next message of the control connection: a netstring that holds JSON."""
        while True:
            length, colon, rest = self._buffer.partition(b":")
            if colon and len(rest) > int(length):
                size = int(length)
                self._buffer = rest[size + 1 :]
                message: Event = json.loads(rest[:size])
                return message
            left = deadline - monotonic()
            try:
                self._control.settimeout(max(left, 0.001))
                data = self._control.recv(65536) if left > 0 else b""
            except TimeoutError:
                data = b""
            if not data:
                kinds = [event.get("type") for event in self.events]
                raise AssertionError(f"{what} did not come; had {kinds}\n{self.process.log}")
            self._buffer += data


def write_sine(path: Path, pitch: int, seconds: float) -> None:
    """A mono file of 16-bit samples with a sine of `pitch` Hz at half of the full scale."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        second = b"".join(
            struct.pack("<h", round(16000 * math.sin(2 * math.pi * pitch * at / RATE))) for at in range(RATE)
        )
        out.writeframes(second * math.ceil(seconds))


def heard_seconds(path: Path, pitch: int) -> float:
    """How many seconds of a recording are a tone of `pitch` Hz: 20 ms pieces with most of their power there."""
    data = path.read_bytes()
    start = data.find(b"data")
    if start < 0:
        return 0.0
    rate = int.from_bytes(data[24:28], "little")  # of the codec: G.722 has 16000
    step = 2 * int.from_bytes(data[22:24], "little")  # Opus is recorded in stereo
    octets = data[start + 8 :]  # the length in the header is only right once the file is closed
    samples = struct.unpack(f"<{len(octets) // step * (step // 2)}h", octets[: len(octets) // step * step])[
        :: step // 2
    ]
    size = rate // 50
    pieces = range(0, len(samples) - size + 1, size)
    return sum(_is_tone(samples[at : at + size], pitch, rate) for at in pieces) / 50


def _is_tone(samples: tuple[int, ...], pitch: int, rate: int) -> bool:
    """Goertzel's algorithm: the power at one frequency, beside the power of all."""
    turn = 2 * math.cos(2 * math.pi * pitch / rate)
    last = before = 0.0
    for sample in samples:
        last, before = sample + turn * last - before, last
    power = last * last + before * before - turn * last * before
    total = sum(sample * sample for sample in samples) * len(samples) / 2
    return total > 1000 and power > 0.7 * total
