"""baresip, linphone and PJSIP as phones of one kind, for the matrix: each does what it is told in its own way."""

import threading
from pathlib import Path
from time import monotonic
from typing import Protocol

from tests.peers.audio import read_wav, tone_seconds
from tests.peers.office import Office, address

PATIENCE = 30.0  # s
_HEARD = 0.3  # s of the other's tone: ten packets and more


class Phone(Protocol):
    """A phone that is registered, with one call at a time. What it waits for has happened when it returns; it fails
    the test where that does not happen in time. `pitch` is the tone that it says, in Hz; 0: it sends
    silence."""

    name: str
    pitch: int

    def dial(self, name: str) -> None: ...
    def wait_incoming(self) -> None: ...
    def wait_ringing(self) -> None: ...
    def answer(self) -> None: ...
    def refuse(self) -> None: ...
    def wait_answered(self) -> None: ...
    def hold(self) -> None: ...
    def resume(self) -> None: ...
    def transfer(self, name: str) -> None: ...
    def hangup(self) -> None: ...
    def wait_ended(self) -> None: ...
    def heard(self, pitch: int) -> float: ...
    def stop(self) -> None: ...


def wait_hearing(phone: Phone, pitch: int) -> None:
    """Waits until it has heard more of a tone than it had: what it has heard before does not count. 0: of nothing."""
    if not pitch:
        return
    before, deadline, tick = phone.heard(pitch), monotonic() + PATIENCE, threading.Event()
    while phone.heard(pitch) < before + _HEARD:
        assert monotonic() < deadline, f"{phone.name} did not hear {pitch} Hz"
        tick.wait(0.1)  # its file grows without telling


class BaresipPhone:
    """baresip: orders and events over its control connection."""

    def __init__(self, office: Office, directory: Path, name: str, host: str, pitch: int, *, secure: bool) -> None:
        self.name, self.pitch = name, pitch
        more = {"modules": ["srtp.so"], "account": "mediaenc=srtp-mand"} if secure else {}
        self._phone = office.baresip(directory, name, host, pitch=pitch, **more)
        self._phone.wait_registered()

    def dial(self, name: str) -> None:
        self._phone.dial(address(name))

    def wait_incoming(self) -> None:
        self._phone.wait_event("CALL_INCOMING")

    def wait_ringing(self) -> None:
        self._phone.wait_event("CALL_RINGING")

    def answer(self) -> None:
        self._phone.command("accept")

    def refuse(self) -> None:
        self._phone.hangup()

    def wait_answered(self) -> None:
        self._phone.wait_event("CALL_ESTABLISHED")

    def hold(self) -> None:
        self._phone.hold()

    def resume(self) -> None:
        self._phone.resume()

    def transfer(self, name: str) -> None:
        self._phone.command("transfer", address(name))

    def hangup(self) -> None:
        self._phone.hangup()

    def wait_ended(self) -> None:
        self._phone.wait_event("CALL_CLOSED")

    def heard(self, pitch: int) -> float:
        return self._phone.recorded(pitch)

    def stop(self) -> None:
        self._phone.stop()


class LinphonePhone:
    """linphonec: a console, whose lines are its events."""

    def __init__(self, office: Office, directory: Path, name: str, host: str, pitch: int, *, secure: bool) -> None:
        self.name, self.pitch = name, 0
        self._phone = office.linphone(directory, name, host, encryption="srtp" if secure else "none")
        self._seen: dict[str, int] = {}
        self._phone.wait_registered()

    def _next(self, pattern: str) -> None:
        """Waits for one line more that fits than were waited for."""
        self._seen[pattern] = count = self._seen.get(pattern, 0) + 1
        self._phone.process.wait_line(pattern, PATIENCE, count=count)

    def dial(self, name: str) -> None:
        self._phone.process.tell(f"call {address(name)}")

    def wait_incoming(self) -> None:
        self._next(r"Receiving new incoming call from ")

    def wait_ringing(self) -> None:
        self._next(r"Call \d+ to .* ringing")

    def answer(self) -> None:
        self._phone.process.tell("answer")

    def refuse(self) -> None:
        self._phone.process.tell("terminate")

    def wait_answered(self) -> None:
        self._next(r"Media streams established with")

    def hold(self) -> None:
        self._phone.process.tell("pause")
        self._next(r"Call \d+ with .* (is now )?paused")

    def resume(self) -> None:
        self._phone.process.tell("resume")
        self.wait_answered()

    def transfer(self, name: str) -> None:
        self._phone.process.tell(f"transfer {address(name)}")

    def hangup(self) -> None:
        self._phone.process.tell("terminate")

    def wait_ended(self) -> None:
        self._next(r"Call \d+ with .* (ended|terminated|error)")

    def heard(self, pitch: int) -> float:
        return tone_seconds(self._phone.heard(), pitch)

    def stop(self) -> None:
        self._phone.stop()


class PjsipPhone:
    """PJSIP by pjsua2."""

    def __init__(self, office: Office, directory: Path, name: str, host: str, pitch: int, *, secure: bool) -> None:
        self.name, self.pitch, self._file = name, pitch, directory / "heard.wav"
        self._phone = office.pjsua2(directory, name, host, pitch=pitch, secure=secure)
        self._phone.wait("registered")

    def dial(self, name: str) -> None:
        self._phone.do("call", to=address(name))

    def wait_incoming(self) -> None:
        self._phone.wait("incoming")

    def wait_ringing(self) -> None:
        self._phone.wait("ringing")

    def answer(self) -> None:
        self._phone.do("answer")

    def refuse(self) -> None:
        self._phone.do("refuse")

    def wait_answered(self) -> None:
        self._phone.wait("answered")

    def hold(self) -> None:
        self._phone.do("hold")
        self._phone.wait("holds")

    def resume(self) -> None:
        self._phone.do("resume")
        self._phone.wait("talks")

    def transfer(self, name: str) -> None:
        self._phone.do("transfer", to=address(name))

    def hangup(self) -> None:
        self._phone.do("hangup")

    def wait_ended(self) -> None:
        self._phone.wait("ended")

    def heard(self, pitch: int) -> float:
        return tone_seconds(read_wav(self._file), pitch)

    def stop(self) -> None:
        self._phone.do("unregister")  # it says goodbye to nobody by itself
        self._phone.wait("unregistered")
        self._phone.stop()


PHONES: dict[str, type[BaresipPhone] | type[LinphonePhone] | type[PjsipPhone]] = {
    "baresip": BaresipPhone,
    "linphone": LinphonePhone,
    "pjsip": PjsipPhone,
}
