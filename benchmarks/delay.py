"""Post-dial delay under load, and how long failover takes: after a 503 and after silence."""

import statistics
import threading
import time

from benchmarks.load import Run
from benchmarks.probe import Delays, Probe, prompt
from benchmarks.programs import (
    ADDRESS,
    PROBE_NUMBER,
    PROBE_PROVIDER,
    REFUSED_NUMBER,
    REFUSING_PROVIDER,
    SECOND_PROVIDER,
    SILENT_NUMBER,
    SILENT_PROVIDER,
)
from benchmarks.steps import Bed, Say

NO_REPLY_TIMEOUT = 0.5  # seconds; as the silent provider is configured in every program
_PAUSE = 0.008  # seconds between probes


def post_dial(name: str, rate: int, seconds: float, say: Say) -> tuple[Delays, Run | None]:
    """INVITE in → INVITE out while `rate` calls a second go through (0: an idle program), less the direct way."""
    with Probe([PROBE_PROVIDER]) as probe, Bed(name, "through") as bed, prompt():
        direct = statistics.median(
            (seen[PROBE_PROVIDER[0]] - seen["sent"]) / 1e6
            for seen in (
                probe.call(PROBE_PROVIDER, PROBE_NUMBER, {PROBE_PROVIDER: 486}, PROBE_PROVIDER) for _ in range(200)
            )
        )
        bed.load(max(rate // 2, 10), 1.0)
        runs: list[Run] = []
        load = threading.Thread(target=lambda: runs.append(bed.load(rate, seconds))) if rate else None
        if load is not None:
            load.start()
            time.sleep(0.7)
        found = Delays(f"post-dial delay at {rate} calls/s", name)
        deadline = time.monotonic() + seconds - 1.0
        while time.monotonic() < deadline:
            seen = probe.call(ADDRESS, PROBE_NUMBER, {PROBE_PROVIDER: 486}, PROBE_PROVIDER, patience=1.0)
            if PROBE_PROVIDER[0] in seen:
                found.values.append((seen[PROBE_PROVIDER[0]] - seen["sent"]) / 1e6 - direct)
            else:
                found.lost += 1
            time.sleep(_PAUSE)
        if load is not None:
            load.join()
    say(f"post-dial {name} at {rate}/s: {found.summary()}")
    return found, runs[0] if runs else None


def failover(name: str, calls: int, say: Say) -> list[Delays]:
    """503 sent → INVITE at the second provider; INVITE at a silent one → at the second, less the no_reply_timeout."""
    providers = [REFUSING_PROVIDER, SILENT_PROVIDER, SECOND_PROVIDER]
    answers = {REFUSING_PROVIDER: 503, SECOND_PROVIDER: 486}
    refused, silent = Delays("failover after 503", name), Delays("failover after silence", name)
    with Probe(providers) as probe, Bed(name, "through"), prompt():
        for number, first, found, count in (
            (REFUSED_NUMBER, f"{REFUSING_PROVIDER[0]} answered", refused, calls),
            (SILENT_NUMBER, SILENT_PROVIDER[0], silent, max(calls // 5, 4)),
        ):
            for _ in range(count):
                seen = probe.call(ADDRESS, number, answers, SECOND_PROVIDER)
                if first not in seen or SECOND_PROVIDER[0] not in seen:
                    found.lost += 1
                    continue
                waited = NO_REPLY_TIMEOUT * 1000 if found is silent else 0.0
                found.values.append((seen[SECOND_PROVIDER[0]] - seen[first]) / 1e6 - waited)
                time.sleep(_PAUSE)
    for found in (refused, silent):
        say(f"{found.what} {name}: {found.summary()}")
    return [refused, silent]
