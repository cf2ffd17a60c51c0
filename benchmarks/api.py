"""The API while calls run: what its requests take, and what they do to the calls.

    python -m benchmarks.api [--rate 500] [--seconds 20]

One engine with a SQLite store carries `rate` calls a second through; meanwhile one client asks GET and POST in turn,
each after the one before is answered, at most --requests a second. The post-dial delay is taken with and without it.
"""

import argparse
import contextlib
import statistics
import sys
import threading
import time

import httpx

from benchmarks.delay import post_dial
from benchmarks.load import Run
from benchmarks.probe import Delays
from benchmarks.programs import API, API_KEY

NAME = "trunkline-stored"
FLOW = {"name": "bench", "actions": [{"type": "answer"}, {"type": "hangup"}]}


class Asking:
    """A client in a thread of its own; milliseconds of each kind of request, and what went wrong."""

    def __init__(self, rate: float) -> None:
        self.took: dict[str, list[float]] = {"GET /numbers": [], "GET /calls?page_size=20": [], "POST /flows": []}
        self.failed = 0
        self._interval = 1 / rate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=f"http://{API}/v1.0", headers={"Authorization": f"Bearer {API_KEY}"}) as client:
            while not self._over.is_set() and not self._there(client):
                time.sleep(0.1)
            while not self._over.is_set():
                # The engine ends, and says so, before this thread is told.
                with contextlib.suppress(httpx.TransportError):
                    self._ask(client)

    def _ask(self, client: httpx.Client) -> None:
        for what, values in self.took.items():
            began = time.perf_counter()
            method, path = what.split()
            answer = client.request(method, path, json=FLOW if method == "POST" else None)
            spent = time.perf_counter() - began
            values.append(spent * 1000)
            if answer.status_code == 503 and "is stopping" in answer.text:
                return
            if answer.status_code >= 300:
                self.failed += 1
                say(f"{what}: {answer.status_code} {answer.text[:300]}")
            time.sleep(max(self._interval - spent, 0))

    def _there(self, client: httpx.Client) -> bool:
        try:
            return client.get("/numbers").status_code == 200
        except httpx.HTTPError:
            return False

    def lines(self) -> list[str]:
        """The figures, one line for each kind of request."""
        found = []
        for what, values in self.took.items():
            if len(values) > 1:
                cuts = statistics.quantiles(values, n=100, method="inclusive")
                found.append(f"{what}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms of {len(values)}")
        return [*found, f"requests that failed: {self.failed}"]


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main(words: list[str]) -> int:
    """The command line. Exit code 1 where a run was not clean."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="calls a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--requests", type=float, default=50.0, help="requests a second")
    asked = parser.parse_args(words)
    found: list[tuple[str, Delays, Run | None]] = []
    delays, run = post_dial(NAME, asked.rate, asked.seconds, say)
    found.append(("no requests", delays, run))
    with Asking(asked.requests) as asking:
        delays, run = post_dial(NAME, asked.rate, asked.seconds, say)
    found.append((f"{asked.requests:g} requests a second", delays, run))
    for what, delays, run in found:
        faults = ", ".join(run.faults) if run is not None and run.faults else "clean"
        cpu = f"{run.cpu_us_per_call:.0f} us CPU a call, " if run is not None else ""
        print(f"{asked.rate} calls/s, {what}: post-dial delay {delays.summary()}; {cpu}{faults}")
    for line in asking.lines():
        print(line)
    return int(asking.failed > 0 or any(run is not None and not run.clean for _, _, run in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
