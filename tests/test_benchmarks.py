"""The benchmarks run and write what they promise; no test here looks at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest

from benchmarks import cpu, report
from benchmarks.harness import Figure, alternate, at_least, at_most
from benchmarks.load import Measured, percentile

ROOT = Path(__file__).parent.parent
KEYS = {"figure", "value", "unit", "limit", "ratio", "must", "reach", "met"}


@pytest.mark.postgresql_only
@pytest.mark.timeout(300)
def test_a_cheap_figure_is_measured_on_servers_of_its_own_and_written_as_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--figures", "message_create", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = orjson.loads((tmp_path / "latest.json").read_bytes())
    assert row.keys() == KEYS
    assert row["figure"] == "messageCreate"
    assert row["value"] > 0
    assert row["limit"] > 0
    machine = orjson.loads((tmp_path / "details.json").read_bytes())["machine"]
    assert "fsync=on" in machine["postgresql"]
    assert "synchronous_commit=on" in machine["postgresql"]
    ElementTree.parse(tmp_path / "latest.svg")
    assert "messageCreate" in done.stdout


def test_an_unknown_figure_is_refused_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--figures", "latency"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 2
    assert "there is no figure latency; there are message_create" in done.stderr


def test_a_figure_of_which_more_is_better_is_judged_by_its_ratio() -> None:
    figure = at_least("a", [30.0, 10.0, 20.0], "1/s", [100.0, 50.0, 80.0], 0.25, 0.4)
    assert (figure.value, figure.limit, figure.ratio, figure.met) == (20.0, 80.0, 0.25, True)
    assert not at_least("a", [19.0], "1/s", [80.0], 0.25, 0.4).met


def test_a_figure_of_which_less_is_better_is_judged_by_its_value() -> None:
    figure = at_most("a", [20.0], "ms", [5.0], 20, 8)
    assert (figure.ratio, figure.met) == (0.25, True)
    assert not at_most("a", [20.1], "ms", [5.0], 20, 8).met


async def test_figure_and_limit_alternate_and_the_first_of_each_is_thrown_away() -> None:
    order: list[str] = []

    async def run(name: str) -> int:
        order.append(name)
        return len(order)

    assert await alternate(2, lambda: run("figure"), lambda: run("limit")) == ([3, 5], [4, 6])
    assert order == ["figure", "limit"] * 3


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([3.0, 1.0, 2.0, 4.0], 50) == 2.0
    assert percentile([float(n) for n in range(1, 1001)], 99) == 990.0
    assert percentile([7.0], 99) == 7.0


def test_a_load_with_failures_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="1 of 2 requests failed"):
        Measured(latencies=[0.1], failures=["500: broken"], seconds=1.0).checked()


def test_the_cpu_time_of_a_process_counts_with_that_of_its_children() -> None:
    before = cpu.seconds(os.getpid())
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    assert cpu.seconds(os.getpid()) - before >= 0.25


def test_the_table_says_what_is_met_and_what_is_reached() -> None:
    figures = [_figure("fast", 0.5), _figure("fair", 0.3), _figure("slow", 0.1)]
    verdicts = [line.split()[-1] for line in report.table(figures).splitlines()[1:]]
    assert verdicts == ["reached", "met", "met"]
    assert "not met" in report.table(figures).splitlines()[3]


def _figure(name: str, ratio: float) -> Figure:
    return Figure(name, ratio * 1000, "1/s", 1000.0, ratio, 0.25, 0.4, "ratio", {})
