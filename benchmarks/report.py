"""The results as a table, as JSON and as a plot, with the machine named."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from redis.asyncio import Redis

from benchmarks.harness import POSTGRESQL, Bench, Figure

RESULTS = Path(__file__).parent / "results"
_KEYS = ("figure", "value", "unit", "limit", "ratio", "must", "reach", "met")


def row(figure: Figure) -> dict[str, Any]:
    """A figure as `latest.json` has it."""
    return {key: _short(getattr(figure, key)) for key in _KEYS}


def table(figures: Sequence[Figure]) -> str:
    """The figures for people."""
    lines = [("figure", "value", "limit", "ratio", "must", "reach for", "")]
    for f in figures:
        sign, unit = ("ratio ≥", "") if f.judged == "ratio" else ("≤", f" {f.unit}")
        verdict = "reached" if f.score >= f.reach_score else "met" if f.met else "not met"
        bounds = (f"{sign} {f.must:g}{unit}", f"{sign} {f.reach:g}{unit}")
        lines.append((f.figure, f"{_short(f.value):g} {f.unit}", f"{_short(f.limit):g}", f"{f.ratio:.2f}", *bounds, verdict))
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


async def machine(bench: Bench) -> dict[str, str]:
    """What the figures were measured on."""
    connection = await asyncpg.connect(bench.postgresql)
    try:
        version = await connection.fetchval("SHOW server_version")
        durable = {name: await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")}
    finally:
        await connection.close()
    async with Redis.from_url(bench.redis) as client:
        redis = (await client.info("server"))["redis_version"]
    cpuinfo = dict(line.split("\t: ", 1) for line in Path("/proc/cpuinfo").read_text().replace("\t\t", "\t").splitlines() if "\t: " in line)
    memory = int(Path("/proc/meminfo").read_text().split()[1])
    # Distributions optimise theirs outside of what is configured.
    optimised = sys.base_prefix == "/usr" or "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    return {
        "cpu": cpuinfo.get("model name", platform.processor()),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 1024 / 1024:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}{'' if optimised else ' (built without optimisations)'}",
        "postgresql": f"{version}, {', '.join(f'{name}={value}' for name, value in {**POSTGRESQL, **durable}.items())}",
        "redis": redis,
        "receiver": bench.receiver,
        "load average": " ".join(f"{value:.1f}" for value in os.getloadavg()),
        "commit": _commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}",
        "form": "quick: not for numbers" if bench.quick else f"full, medians of {bench.rounds} alternating runs",
    }


def write(figures: Sequence[Figure], machine: Mapping[str, str], folder: Path = RESULTS) -> None:
    """Write latest.json, details.json (every run, CPU by process, the machine) and latest.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    details = {figure.figure: {"judged": figure.judged, **figure.details} for figure in figures}
    option = orjson.OPT_INDENT_2
    (folder / "latest.json").write_bytes(orjson.dumps([row(figure) for figure in figures], option=option) + b"\n")
    (folder / "details.json").write_bytes(orjson.dumps({"machine": dict(machine), "figures": details}, option=option) + b"\n")
    (folder / "latest.svg").write_text(plot(figures, machine), encoding="utf-8")


_LEFT, _WIDTH, _BAR, _TOP = 340, 560, 26, 70
_LEGEND = "Logarithmic; the solid line is what must be, the dashed one what is reached for. Red: not met; blue: met; green: reached."
_DECADES = 2.0  # from a hundredth of what must be to a hundred times it


def plot(figures: Sequence[Figure], machine: Mapping[str, str]) -> str:
    """An SVG: per figure a bar on a logarithmic scale, with a line at what it must be and a mark at what it reaches for."""
    height = _TOP + _BAR * len(figures) + 60
    must = _x(1.0)
    on = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']}, Python {machine['python']}, {machine['date']}, {machine['commit']}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 150} {height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="16" y="24" font-size="16" font-weight="bold">Graphook: figures against what they must be</text>',
        f'<text x="16" y="44" fill="#555">{escape(on)}</text>',
    ]
    for number, figure in enumerate(figures):
        y = _TOP + number * _BAR
        end, reach = _x(figure.score), _x(figure.reach_score)
        colour = "#1a7f37" if figure.score >= figure.reach_score else "#2f81f7" if figure.met else "#cf222e"
        label = f"{_short(figure.value):g} {figure.unit}" + (f" ({figure.ratio:.2f} of limit)" if figure.judged == "ratio" else "")
        parts += [
            f'<text x="{_LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(figure.figure)}</text>',
            f'<rect x="{_LEFT}" y="{y + 4}" width="{max(1, end - _LEFT):.1f}" height="{_BAR - 10}" fill="{colour}"/>',
            f'<path d="M{reach:.1f} {y + 2}v{_BAR - 6}" stroke="#1a7f37" stroke-width="2" stroke-dasharray="3 2"/>',
            f'<text x="{max(end, must, reach) + 8:.1f}" y="{y + 16}" fill="#333">{escape(label)}</text>',
        ]
    bottom = _TOP + _BAR * len(figures)
    parts += [
        f'<path d="M{must:.1f} {_TOP - 6}V{bottom + 6}" stroke="#000" stroke-width="1.5"/>',
        f'<text x="{must:.1f}" y="{bottom + 22}" text-anchor="middle">must</text>',
        f'<text x="16" y="{bottom + 44}" fill="#555">{_LEGEND}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(score: float) -> float:
    place = (math.log10(max(score, 1e-9)) + _DECADES) / (2 * _DECADES)
    return _LEFT + _WIDTH * min(1.0, max(0.0, place))


def _short(value: Any) -> Any:
    """A number with four significant digits."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return done.stdout.strip() or "unknown"
