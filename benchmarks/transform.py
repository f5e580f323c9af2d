"""How fast one worker drains a backlog whose deliveries are all transformed, against the same backlog as it is."""

from __future__ import annotations

from benchmarks import cpu, queries
from benchmarks.harness import Bench, Figure, alternate, at_least
from benchmarks.load import saturate

SIZE = 100
# What a chat wants of an invoice: some twenty lines that read the payload and make another of half its size.
CODE = """
function handler(webhook) {
  const invoice = webhook.payload;
  const lines = invoice.lines.filter((line) => line.quantity > 1);
  let total = 0;
  for (const line of lines) {
    total += line.quantity * Number(line.amount);
  }
  webhook.headers["x-lines"] = String(lines.length);
  webhook.payload = {
    text: `Invoice ${invoice.number} of ${invoice.customer}: ${total.toFixed(2)} ${invoice.currency}`,
    blocks: lines.map((line) => ({
      type: "section",
      text: { type: "plain_text", text: `${line.quantity} × ${line.text}` },
    })),
  };
  return webhook;
}"""


async def measure(bench: Bench) -> list[Figure]:
    """Deliveries a second, from the first attempt's beginning to the last one's end; each backlog is written before its worker starts.

    The same applications in turn with their transformations on and off, so that everything else is alike.
    """
    count = bench.scaled(6_000, 300)
    async with bench.graphook(worker=False) as graphook:
        apps = await graphook.applications(16, bench.hook)
        make = queries.create_batches(graphook.token, [app["id"] for app in apps], SIZE)
        costs: dict[bool, list[dict[str, float]]] = {True: [], False: []}
        done = 0

        async def drain(transformed: bool) -> float:
            nonlocal done
            for app in apps:
                given = {"appId": app["id"], "endpointId": app["endpoint"]["id"], "input": {"code": CODE, "enabled": transformed}}
                await graphook.tenant.do("EndpointPatchTransformation", **given)
            (await saturate(graphook.port, make, 4, count=count // SIZE)).checked()
            (last,) = await graphook.ask("SELECT COALESCE(max(started_at), 0) FROM attempt")
            worker = graphook.start_worker()
            meter = cpu.Meter(graphook.roots)
            done += count
            await graphook.delivered(done)
            costs[transformed].append({name: round(used / count * 1e6) for name, used in meter.read().items()})
            worker.stop()
            (span,) = await graphook.ask(
                "SELECT max(started_at + duration_ms * 1000) - min(started_at) FROM attempt WHERE started_at > $1", last[0]
            )
            return count / (float(span[0]) / 1e6)

        values, limits = await alternate(bench.rounds, lambda: drain(True), lambda: drain(False))
    return [at_least("transformations", values, "deliveries/s", limits, 0.3, 0.6, cpu_us=costs[True], untransformed_cpu_us=costs[False])]
