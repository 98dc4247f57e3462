"""How one server bears a class: many sessions without a browser.

    python -m benchmarks.load --sessions 50
    python -m benchmarks.load --start
    python -m benchmarks.load --burst 50
    python -m benchmarks.load --pages
    python -m benchmarks.load --soak 120

What a visitor does, in which shares, and when a visit counts as lost or wrong, is in `visitor`.
Each measurement starts a server of its own. Reads CPU time and memory in /proc: Linux only.
"""

import argparse
import asyncio
import math
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.visitor import (
    HEADINGS,
    LOSSES,
    VISITED,
    Act,
    Visit,
    Visitor,
    connected,
    plan,
    session,
)
from tests.running_app import running_app

WARM_UP = 24  # visits of one session before the load
REPEATS = 10  # visits of a page whose CPU time is measured
SETTLE = 1.5  # seconds for work that goes on after an answer


async def crowd(address: str, sessions: int, visits: int, think: float) -> list[Visit]:
    """Return the visits of sessions that come at about the same time."""
    plans = [plan(random.Random(-number), visits) for number in range(1, sessions + 1)]
    came = (session(address, number, acts, think) for number, acts in enumerate(plans, 1))
    return [visit for visits in await asyncio.gather(*came) for visit in visits]


async def burst(address: str, sessions: int) -> list[Visit]:
    """Return first visits that are made at the same moment, by browsers that are connected."""
    draw = random.Random(0)
    async with AsyncExitStack() as stack:
        visitors = [
            Visitor(await stack.enter_async_context(connected(address)), address, number, draw)
            for number in range(1, sessions + 1)
        ]
        acts = [Act("open", draw.choice(VISITED)) for _ in visitors]

        async def come(visitor: Visitor, act: Act) -> Visit:
            try:
                return await visitor.perform(act)
            except LOSSES as error:
                return Visit(act.kind, act.page, math.inf, math.inf, (repr(error),))

        return list(await asyncio.gather(*map(come, visitors, acts)))


async def come_and_go(address: str, sessions: int, think: float, minutes: float) -> list[Visit]:
    """Print the server's memory each minute while sessions come and go; return their visits."""
    end = time.monotonic() + 60 * minutes
    numbers = count(1)

    async def seat() -> list[Visit]:
        visits = []
        while time.monotonic() < end:
            number = next(numbers)
            visits += await session(address, number, plan(random.Random(-number), 6), think)
        return visits

    seats = [asyncio.create_task(seat()) for _ in range(sessions)]
    memory = []
    while (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(60, left))
        memory.append(server_memory())
        print(f"minute {len(memory)}: {memory[-1]:.0f} MiB", flush=True)
    quarter = math.ceil(len(memory) / 4)
    first, last = statistics.median(memory[:quarter]), statistics.median(memory[-quarter:])
    print(
        f"memory, median of the first quarter {first:.0f} MiB, of the last {last:.0f} MiB: "
        f"{last / first - 1:+.1%}"
    )
    return [visit for visits in await asyncio.gather(*seats) for visit in visits]


# ---- the server, seen from outside


def server_processes() -> list[Path]:
    """Return the folders in /proc of the server and its children: all that descends from us."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int(_stat(folder)[1])
    family = {os.getpid()}
    while grown := {one for one, parent in parents.items() if parent in family} - family:
        family |= grown
    return [Path(f"/proc/{one}") for one in family - {os.getpid()}]


def server_memory() -> float:
    """Return the resident memory of the server in MiB."""
    pages = 0
    for folder in server_processes():
        with suppress(OSError):
            pages += int((folder / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def server_cpu() -> float:
    """Return the CPU seconds that the server has spent, ended children included."""
    ticks = 0
    for folder in server_processes():
        with suppress(OSError):
            ticks += sum(map(int, _stat(folder)[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(folder: Path) -> list[str]:
    """Fields of /proc/PID/stat after the name: state, parent, … utime, stime, cutime, cstime."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


# ---- what is printed


def report(visits: Sequence[Visit], title: str) -> None:
    """Print seconds of visits, all of them, by kind and by page, and what went wrong."""
    table = Table("", "visits", "p50", "p95", "slowest", "lost", "wrong", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    last_map = "saliency, last map"
    groups = {"all": list(visits)}
    for visit in sorted(visits, key=lambda one: (one.kind, one.page)):
        groups.setdefault(visit.kind, []).append(visit)
        if visit.kind == "saliency":
            groups.setdefault(last_map, []).append(visit)
    for visit in sorted(visits, key=lambda one: one.page):
        groups.setdefault(HEADINGS[visit.page], []).append(visit)
    for name, group in groups.items():
        seconds = sorted(visit.whole if name == last_map else visit.seconds for visit in group)
        shown = (seconds[math.ceil(part * len(seconds)) - 1] for part in (0.5, 0.95, 1))
        wrong = sum(bool(visit.faults) and not visit.lost for visit in group)
        lost = sum(visit.lost for visit in group)
        table.add_row(
            name, str(len(group)), *(f"{one:.2f}" for one in shown), f"{lost}", f"{wrong}"
        )
    Console().print(table)
    kinds = Counter(
        f"{HEADINGS[one.page]}, {one.kind}: {text}" for one in visits for text in one.faults
    )
    for text, times in kinds.most_common(20):
        print(f"{times} × {text}")


def faulty(visits: Sequence[Visit]) -> int:
    """Return how many visits were lost or wrong."""
    return sum(bool(visit.faults) for visit in visits)


def load(options: argparse.Namespace) -> None:
    """Measure sessions that think between their visits."""
    with running_app() as address:
        first = asyncio.run(session(address, 0, [Act("open", "")], 0))
        start = server_memory()
        first += asyncio.run(crowd(address, 1, WARM_UP, 0))
        warm = server_memory()
        spent, mine = server_cpu(), time.process_time()
        visits = asyncio.run(crowd(address, options.sessions, options.visits, options.think))
        spent, mine = server_cpu() - spent, time.process_time() - mine
        end = server_memory()
        report(visits, f"{options.sessions} sessions, {options.think:g} s to think")
        print(f"before these: {len(first)} visits, {faulty(first)} lost or wrong")
        print(f"CPU seconds: server {spent:.0f}, this script {mine:.0f}")
        print(
            f"memory: after one visit {start:.0f} MiB, after {WARM_UP} more {warm:.0f} MiB, at the "
            f"end {end:.0f} MiB; {1024 * (end - warm) / len(visits):+.0f} KiB per visit"
        )


def first_visit(options: argparse.Namespace) -> None:
    """Measure the first visit after a start."""
    began = time.perf_counter()
    with running_app() as address:
        ready = time.perf_counter() - began
        visits = asyncio.run(session(address, 1, [Act("open", "")], 0))
        report(visits, f"first visit after a start; the server answered after {ready:.1f} s")


def first_visits(options: argparse.Namespace) -> None:
    """Measure first visits at the same moment on a server that has just started."""
    with running_app() as address:
        report(asyncio.run(burst(address, options.burst)), "first visits at the same moment")
        print(f"memory: {server_memory():.0f} MiB")


def pages(options: argparse.Namespace) -> None:
    """Measure the server's CPU time for warm visits of each page alone."""
    with running_app() as address:
        for page, heading in HEADINGS.items():
            warm = asyncio.run(session(address, 1, [Act("open", page), Act("page", page)], 0))
            time.sleep(SETTLE)
            spent = server_cpu()
            acts = [Act("open", page), *[Act("page", page)] * (REPEATS - 1)]
            visits = asyncio.run(session(address, 1, acts, 0))
            time.sleep(SETTLE)
            spent = server_cpu() - spent
            seconds = statistics.median(visit.seconds for visit in visits)
            print(
                f"{heading:<16}{spent / REPEATS:6.3f} CPU s, {seconds:6.3f} s per visit, "
                f"{faulty([*warm, *visits])} lost or wrong",
                flush=True,
            )


def soak(options: argparse.Namespace) -> None:
    """Measure memory while sessions come and go."""
    with running_app() as address:
        visits = asyncio.run(come_and_go(address, options.sessions, options.think, options.soak))
        report(visits, f"{options.sessions} sessions that come and go")


def main() -> None:
    """Measure what the options name; without any, the load of `--sessions`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=50, help="at the same time")
    parser.add_argument("--visits", type=int, default=6, help="of each session")
    parser.add_argument("--think", type=float, default=7.5, help="mean seconds between visits")
    parser.add_argument("--start", action="store_true", help="the first visit after a start")
    parser.add_argument("--burst", type=int, metavar="N", help="first visits at the same moment")
    parser.add_argument("--pages", action="store_true", help="CPU time of a warm visit, by page")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="sessions that come and go")
    options = parser.parse_args()
    chosen = [
        (options.start, first_visit),
        (options.burst, first_visits),
        (options.pages, pages),
        (options.soak, soak),
    ]
    for measure in [one for wanted, one in chosen if wanted] or [load]:
        measure(options)


if __name__ == "__main__":
    main()
