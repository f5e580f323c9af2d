"""`messageCreate`, one message a request and durable on return, against a plain Starlette and orjson route that does nothing."""

from __future__ import annotations

from statistics import median

from benchmarks import cpu, queries
from benchmarks.harness import Bench, Figure, alternate, at_least
from benchmarks.load import saturate

# So many that requests are read and written while others wait for their commit, as on the limit, which has nothing to wait for.
CONNECTIONS, FEW = 512, 32


async def measure(bench: Bench) -> list[Figure]:
    """Requests a second that one API process answers on kept connections, each writing a message with one delivery."""
    seconds, connections = bench.scaled(8, 1), bench.scaled(CONNECTIONS, FEW)
    async with bench.graphook(worker=False) as graphook:
        apps = await graphook.applications(16, bench.hook)
        make = queries.creates(graphook.token, [app["id"] for app in apps])
        costs: list[dict[str, float]] = []
        plain_costs: list[float] = []

        async def create() -> float:
            meter = cpu.Meter(graphook.roots)
            measured = (await saturate(graphook.port, make, connections, seconds=seconds)).checked()
            costs.append({name: round(used / len(measured.latencies) * 1e6) for name, used in meter.read().items()})
            return measured.rate

        with bench.bare() as (port, pid):

            async def plain() -> float:
                meter = cpu.Meter({"plain": pid})
                measured = (await saturate(port, make, connections, seconds=seconds)).checked()
                plain_costs.append(meter.read()["plain"] / len(measured.latencies) * 1e6)
                return measured.rate

            values, limits = await alternate(bench.rounds, create, plain)
    by_cpu = median(plain_costs) / median(cost["api"] for cost in costs)
    return [at_least("messageCreate", values, "requests/s", limits, 0.25, 0.4, cpu_us=costs, plain_cpu_us=plain_costs, ratio_by_cpu=by_cpu)]
