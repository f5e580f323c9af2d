"""How fast one worker drains a backlog, against the bare loop of the sender it uses.

A sender that becomes faster lowers the ratio, and makes no worker slower: the details have the ratio to aiohttp's loop, which does not move with ours.
"""

from __future__ import annotations

from statistics import median

from benchmarks import cpu, queries
from benchmarks.harness import Bench, Figure, alternate, at_least, bare_program
from benchmarks.load import saturate

SIZE = 100
# As many connections as a worker keeps to the receiver: what is sent at a time to sixteen endpoints of one origin.
CONNECTIONS = 320


async def measure(bench: Bench) -> list[Figure]:
    """Deliveries a second, from the first attempt's beginning to the last one's end; the backlog is written before the worker starts."""
    count = bench.scaled(40_000, 500)
    async with bench.graphook(worker=False) as graphook:
        apps = await graphook.applications(16, bench.hook)
        make = queries.create_batches(graphook.token, [app["id"] for app in apps], SIZE)
        costs: list[dict[str, float]] = []
        loops: dict[str, list[float]] = {"send": [], "post": [], "exchange": []}
        library: list[float] = []
        done = 0

        async def drain() -> float:
            nonlocal done
            (await saturate(graphook.port, make, 4, count=count // SIZE)).checked()
            (last,) = await graphook.ask("SELECT COALESCE(max(started_at), 0) FROM attempt")
            worker = graphook.start_worker()
            meter = cpu.Meter(graphook.roots)
            done += count
            await graphook.delivered(done)
            costs.append({name: round(used / count * 1e6) for name, used in meter.read().items()})
            worker.stop()
            (span,) = await graphook.ask(
                "SELECT max(started_at + duration_ms * 1000) - min(started_at) FROM attempt WHERE started_at > $1", last[0]
            )
            return count / (float(span[0]) / 1e6)

        async def loop() -> float:
            # What our sender costs, what a library's does, and how much cannot be avoided.
            seconds = {}
            for name, costs_of in loops.items():
                sent = bare_program(name, bench.hook, str(count), str(CONNECTIONS))
                costs_of.append(round(sent["cpu"] / count * 1e6))
                seconds[name] = sent["seconds"]
            library.append(count / seconds["post"])
            return count / seconds["send"]

        values, limits = await alternate(bench.rounds, drain, loop)
    details = {
        "cpu_us": costs,
        "sender_cpu_us": loops["send"],
        "aiohttp_cpu_us": loops["post"],
        "protocol_cpu_us": loops["exchange"],
        "ratio_to_aiohttp": median(values) / median(library[1:]),
    }
    return [at_least("backlog drain, one worker", values, "deliveries/s", limits, 0.3, 0.5, **details)]
