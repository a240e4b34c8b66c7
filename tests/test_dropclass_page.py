"""docs/dropclass.md: its tables are those of the measured results, and its commands exist."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("torch")

from benchmarks.dropclass import RESULTS as COST
from benchmarks.dropclass_evidence import LEAST, MARK, PAGE, RESULTS, tables
from unify.cli import app

TEXT = PAGE.read_text(encoding="utf-8")


def test_tables_are_the_measured_ones():
    measured = tables(json.loads(RESULTS.read_text()), json.loads(COST.read_text()))
    assert TEXT.partition(MARK)[2] == measured


def test_figures_of_the_results_follow_from_their_runs():
    """Mean and deviation, once more; and what the page shows of them."""
    worlds = json.loads(RESULTS.read_text())["worlds"]
    shown = [world for world in worlds.values() if world["seeds"] >= LEAST]
    assert len(shown) >= 2 and LEAST >= 3
    for world in shown:
        for rows in world["selecting"].values():
            for name, row in rows.items():
                for found in row.values():
                    values = found["values"]
                    mean = sum(values) / len(values)
                    deviation = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
                    assert found["mean"] == pytest.approx(mean) and found["std"] == pytest.approx(deviation)
                    if name == "DropClass (I)":
                        assert f"{mean:.1f} ± {deviation:.1f}" in TEXT


def test_commands_of_the_page_exist():
    for command, subcommand in re.findall(r"^unify (\w+)(?: (\w+))?", TEXT, re.MULTILINE):
        found = app.commands[command]
        if command == "probe":
            assert subcommand in found.commands
    options = {
        name for line in re.findall(r"^unify (.*)$", TEXT, re.MULTILINE) for name in re.findall(r"--[\w-]+", line)
    }
    commands = [app.commands[n] for n in ("train", "influence", "erase", "robustness", "sample", "build")]
    commands.append(app.commands["probe"].commands["dropclass"])
    known = {o for c in commands for p in c.params for o in p.opts}
    assert options <= known
