"""Routing alone: memory of a large directory, look-ups, prefix matches, and the decisions of one call.

    python -m benchmarks.routing [--numbers 1000000] [--routes 400000]

Each figure is printed beside its goal. CPU time of this one process; run it on an idle machine.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

from routing.access.admission import DialOut, admit, identify
from routing.directory.directory import Directory
from routing.directory.rows import NumberRow, Place, RouteRow
from routing.directory.snapshot import SnapshotBuilder
from routing.hunt.health import HealthBoard
from routing.hunt.identity import CallerIdentity
from routing.hunt.router import Router
from routing.identifiers import NIL
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.numbers.normalise import normalise_dialled
from routing.settings import RoutingSettings

SETTINGS = RoutingSettings(trusted_networks=("127.0.0.1/32", "10.0.0.0/8"))
CALLER = CallerIdentity(number="+15559876543", name="Caller")


def resident_mb() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def microseconds(call: Callable[[], object], times: int) -> float:
    """CPU time of one call, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(times):
            call()
        best = min(best, time.process_time() - start)
    return best / times * 1e6


def show(what: str, value: float, unit: str, goal: str) -> None:
    """One line of the table."""
    print(f"{what:<58} {value:10.2f} {unit:<4} goal {goal}")


def numbers_benchmark(count: int) -> Directory:
    """A directory of `count` numbers, each with an id and a name of its own."""
    rng = random.Random(1)
    flows = [uuid4() for _ in range(1000)]
    customers = [uuid4() for _ in range(200)]
    providers = [uuid4() for _ in range(4)]
    places = [Place("provisioned", "US", f"Region {item}", f"City {item}", "local") for item in range(50)]
    gc.collect()
    before = resident_mb()
    start = time.perf_counter()
    rows = (
        NumberRow(
            f"+1{2000000000 + item}",
            "active",
            flows[item % 1000],
            NIL,
            providers[item % 4],
            customers[item % 200],
            rng.getrandbits(128),
            f"Line {item}",
            places[item % 50],
        )
        for item in range(count)
    )
    directory = Directory()
    directory.replace(rows, [], [])
    show(f"{count:,} numbers: load", time.perf_counter() - start, "s", "-")
    gc.collect()
    show(f"{count:,} numbers: memory", resident_mb() - before, "MB", "< 350")
    gc.freeze()
    uri, plain, prefixed = "sip:+12000500000@pbx.example.com", "12000500000", "0012000500000"
    known = directory.numbers
    look_up = directory.number
    show("number(): normal form", microseconds(lambda: look_up("+12000500000"), 200_000), "us", "< 1")
    for form in ("+12000500000", plain, prefixed, "+1 (200) 050-0000", uri, "tel:+1-200-050-0000"):
        cost = microseconds(lambda form=form: normalise_dialled(form, SETTINGS, known), 50_000)  # type: ignore[misc]
        show(f"dialled({form!r})", cost, "us", "-")
    return directory


def stored_numbers_benchmark(count: int) -> None:
    """The same directory out of a store's columns, and numbers that come to it when it is full."""
    rng = random.Random(1)
    ids = [f"{rng.getrandbits(128):032x}" for _ in range(1204)]
    nil = NIL.hex
    gc.collect()
    before = resident_mb()
    spent = 0.0
    builder = SnapshotBuilder()
    for start in range(0, count, 1000):
        # As a driver hands them on: every value an object of its own.
        page = [
            (
                f"+1{2000000000 + item}",
                b"active".decode(),
                f"{ids[item % 1000]}",
                nil,
                f"{ids[1200 + item % 4]}",
                f"{ids[1000 + item % 200]}",
                f"{rng.getrandbits(128):032x}",
                f"Line {item}",
                b"provisioned".decode(),
                b"US".decode(),
                f"Region {item % 50}",
                f"City {item % 50}",
                b"local".decode(),
                "",
                "{}",
            )
            for item in range(start, start + 1000)
        ]
        began = time.perf_counter()
        builder.numbers_from(page)
        spent += time.perf_counter() - began
    del page
    directory = Directory(limit=count)
    directory.swap(builder.finish())
    del builder
    gc.collect()
    show(f"{count:,} numbers from a store's columns: rows", spent, "s", "-")
    show(f"{count:,} numbers from a store's columns: memory", resident_mb() - before, "MB", "< 350")
    gc.freeze()
    slowest = 0.0
    began = time.perf_counter()
    for item in range(count // 10):
        row = NumberRow(f"+44{2000000000 + item}", "active", NIL, NIL, NIL, NIL, item)
        put = time.perf_counter()
        directory.put_number(row)
        slowest = max(slowest, time.perf_counter() - put)
    average = (time.perf_counter() - began) / (count // 10)
    show("put_number() into a full directory: average", average * 1e6, "us", "-")
    show("put_number() into a full directory: slowest", slowest * 1e3, "ms", "-")


def models_benchmark() -> None:
    """What checking costs when resources are saved."""
    counted = iter(range(10**9))
    cost = microseconds(lambda: Number(number=f"+1212{5550000 + next(counted):07}"), 2000)
    show("Number(...): checked and made", cost, "us", "-")
    provider = uuid4()
    cost = microseconds(lambda: Route(id=provider, provider_id=provider, target=f"+{100000 + next(counted)}"), 20_000)
    show("Route(...): checked and made", cost, "us", "-")


def routes_benchmark(count: int) -> None:
    """A rate deck of `count` prefixes over eight providers."""
    rng = random.Random(2)
    keys = [uuid4().int for _ in range(8)]
    distinct: dict[str, None] = {}
    while len(distinct) < count:
        # As carriers' decks are: some country codes and area codes, mostly six to eight digits.
        digits = rng.choices((2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5, 15, 30, 30, 15, 2))[0]
        distinct[
            f"+{rng.choice((1, 33, 34, 39, 44, 49, 55, 81, 82, 91))}{rng.randrange(10**digits):0{digits}}"[:10]
        ] = None
    prefixes = list(distinct)
    gc.collect()
    before = resident_mb()
    start = time.perf_counter()
    builder = SnapshotBuilder()
    builder.routes(
        RouteRow(prefix, keys[item % 8], item % 3, 1, key=rng.getrandbits(128)) for item, prefix in enumerate(prefixes)
    )
    content = builder.finish()
    show(f"{count:,} prefixes: load", time.perf_counter() - start, "s", "< 4")
    gc.collect()
    show(f"{count:,} prefixes: memory", resident_mb() - before, "MB", "< 150")
    gc.freeze()
    table = content.routes
    dialled_numbers = [f"{prefix}{rng.randrange(10**6):06}"[:16] for prefix in rng.sample(prefixes, 5000)]
    counted = iter(range(10**9))

    def match() -> object:
        return table.matched(dialled_numbers[next(counted) % 5000])

    def match_all() -> object:
        return list(table.order(dialled_numbers[next(counted) % 5000], 0, rng))

    show("prefix match, over 5,000 random numbers", microseconds(match, 50_000), "us", "< 5")
    show("every route for such a number, in order", microseconds(match_all, 50_000), "us", "-")
    models = [Route(id=uuid4(), provider_id=UUID(int=keys[0]), target=prefix) for prefix in prefixes[:20_000]]
    start = time.perf_counter()
    builder = SnapshotBuilder()
    builder.routes(models)
    show("20,000 Route models into a table", time.perf_counter() - start, "s", "-")


def call_benchmark(directory: Directory) -> None:
    """The decisions of one call through, from its source address to the release of its channel."""
    for position in range(1, 4):
        provider = Provider(
            name=f"trunk{position}",
            hostname=f"192.0.2.{position}:5060",
            tech_prefix=str(position),
            tech_headers={"X-Account": "42"},
            inbound_addresses=[f"192.0.2.{position}/32"],
            max_channels=5000,
        )
        directory.put_provider(provider)
        directory.put_route(Route(provider_id=provider.id, priority=position))
    router = Router(directory, HealthBoard(), SETTINGS, random.Random(3))
    moment = [0.0]

    def call(failures: int) -> None:
        now = moment[0] = moment[0] + 0.001
        source = identify(directory, SETTINGS, "127.0.0.1", False)
        verdict = admit(
            directory, SETTINGS, source, normalise_dialled("sip:+821012345678@host", SETTINGS, directory.numbers)
        )
        assert isinstance(verdict, DialOut)
        hunt = router.hunt(verdict.target, caller=CALLER, from_domain="198.51.100.1")
        attempt = hunt.next(now)
        for _ in range(failures):
            assert attempt is not None
            hunt.outcome(attempt, "refused", 500, first_reply=now, now=now)
            attempt = hunt.next(now)
        assert attempt is not None
        hunt.outcome(attempt, "answered", 200, "OK", first_reply=now, now=now)
        hunt.release(attempt)

    show("call out: identify, admit, hunt, next, outcome, release", microseconds(lambda: call(0), 20_000), "us", "< 25")
    show("the same with one failover", microseconds(lambda: call(1), 20_000), "us", "-")

    def inbound() -> None:
        source = identify(directory, SETTINGS, "192.0.2.1", False)
        admit(directory, SETTINGS, source, normalise_dialled("sip:+12000500000@host", SETTINGS, directory.numbers))

    show("call in from a trunk: identify, admit", microseconds(inbound, 50_000), "us", "-")


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--routes", type=int, default=400_000)
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {sys.platform}; whole process at start {resident_mb():.0f} MB")
    models_benchmark()
    routes_benchmark(arguments.routes)
    directory = numbers_benchmark(arguments.numbers)
    call_benchmark(directory)
    del directory
    stored_numbers_benchmark(arguments.numbers)


if __name__ == "__main__":
    main()
