"""Certificates of listeners while they are shown: read again when their files change, and told of before they end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from engine.log import Log
from engine.transport.certificates import Certificate, Certificates, ServerTls
from engine.worker import Worker

LOOK_EVERY: Final = 60.0
"""Seconds between two looks at the files."""
SOON: Final = timedelta(days=21)
"""How long before a certificate ends it is told of."""
TOLD_EVERY: Final = timedelta(days=1)


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


class CertificateReader:
    """Reads certificates again when their files have changed: new handshakes are shown the new ones, connections that
    are up stay as they are.

    Attributes:
        settings: What they are read by; replaced when the configuration is reloaded.
    """

    def __init__(
        self, certificates: Certificates, setting: str, log: Log, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        """`setting`: where they are written, for the log."""
        self.certificates = certificates
        self.settings: ServerTls = certificates.settings
        self._setting = setting
        self._log = log
        self._now = now
        self._told: list[str] = []
        self._ending: dict[Path, tuple[datetime, datetime]] = {}  # what was told of, its end, and when it was told
        self._worker = Worker(f"{setting} reader", self.look, first=LOOK_EVERY, every=LOOK_EVERY)

    def start(self) -> None:
        """Begin to look."""
        self._tell_of_ends()
        self._worker.start()

    async def close(self) -> None:
        """End."""
        await self._worker.close()

    async def look(self) -> None:
        """Take what is new. What cannot be used leaves what was, and is said once."""
        before, settings = self.certificates.shown, self.settings
        found, faults = await asyncio.to_thread(self.certificates.read, settings)
        problems = [str(fault) for fault in faults]
        if problems != self._told:
            for problem in problems:
                self._log.error(
                    "certificate not read: the old one is shown",
                    setting=self._setting,
                    problem=problem,
                    hint="correct the file, or its name in the configuration: it is read again within a minute",
                )
            self._told = problems
        if found != before:
            for certificate in found:
                if certificate not in before:
                    until = certificate.not_after.isoformat()
                    self._log.info(
                        "certificate read", setting=self._setting, names=certificate.names.shown, until=until
                    )
        self.certificates.show(found, settings, unread=len(faults))
        self._tell_of_ends()

    def _tell_of_ends(self) -> None:
        now = self._now()
        for certificate in self.certificates.shown:
            if certificate.not_after - now < SOON:
                self._tell_of_end(certificate, now)

    def _tell_of_end(self, certificate: Certificate, now: datetime) -> None:
        file, end = certificate.files.certificate, certificate.not_after
        told = self._ending.get(file)
        if told is not None and told[0] == end and now - told[1] < TOLD_EVERY:
            return
        self._ending[file] = (end, now)
        values = {"file": str(file), "names": certificate.names.shown, "until": end.isoformat()}
        if end <= now:
            hint = "peers that verify it refuse every connection: put a new one into this file"
            self._log.error("certificate has expired", **values, hint=hint)
        else:
            hint = "put a new one into this file: it is read by itself"
            self._log.warning("certificate expires soon", **values, days=(end - now).days, hint=hint)
