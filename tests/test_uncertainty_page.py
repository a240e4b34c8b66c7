"""docs/uncertainty.md says what the results in benchmarks/results say."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "uncertainty.md").read_text()
RESULTS = ROOT / "benchmarks" / "results"


def test_the_table_is_that_of_the_results():
    pytest.importorskip("torch")
    from benchmarks.uncertainty_evidence import BEGIN, END, RESULTS, evidence

    shown = PAGE.partition(BEGIN)[2].partition(END)[0].strip("\n")
    if not RESULTS.exists():
        assert shown == "Not run yet."
        return
    assert shown == "\n".join(evidence(json.loads(RESULTS.read_text())))


def test_what_is_said_of_the_table_is_so():
    pytest.importorskip("torch")
    from benchmarks.uncertainty_evidence import LETTERS, RESULTS, paired

    results = json.loads(RESULTS.read_text())

    def mean(trained_on: str, way: str, test: str, is_rare: bool = False) -> float:
        classes = results["rare"][trained_on] if is_rare else None
        return 100 * statistics.mean(paired(results["runs"][trained_on], way, test, classes)[1])

    columns = [(a, b, is_rare) for a in results["runs"] for b in LETTERS for is_rare in (False, True)]
    assert len(columns) == 8
    for a, b, is_rare in columns:
        assert mean(a, "inverse-sqrt", b, is_rare) > mean(a, "instance", b, is_rare)
    plain = mean("clear", "none", "clear")
    gain = {way: mean("clear", way, "clear") - plain for way in ("instance", "pixel", "class", "shuffled", "online")}
    assert gain["instance"] == pytest.approx(1.7, abs=0.05) and gain["shuffled"] == pytest.approx(-0.9, abs=0.05)
    assert max(gain["pixel"], gain["class"]) < gain["instance"] / 2 + 0.05 and gain["online"] < 0.2
    assert mean("weather", "instance", "weather") < mean("weather", "none", "weather")
    for a, b in (("clear", "weather"), ("weather", "clear")):
        assert 0 < mean(a, "instance", b) - mean(a, "none", b) < 0.55


def test_a_table_of_numbers_that_are_known():
    pytest.importorskip("torch")
    from benchmarks.uncertainty_evidence import table

    def score(road: float, rider: float | None) -> dict:
        known = [v for v in (road, rider) if v is not None]
        one = {"miou": statistics.mean(known), "iou": {"road": road, "rider": rider}}
        return {"clear": one, "weather": one}

    none, instance = (((0.8, 0.2), (0.9, 0.1), (0.7, 0.3)), ((0.8, 0.3), (0.9, 0.3), (0.7, 0.2)))
    runs = {
        way: {str(seed): score(*values) for seed, values in enumerate(found)}
        for way, found in (("none", none), ("instance", instance))
    }
    found = table({"runs": {"clear": runs}, "rare": {"clear": ["rider"]}})
    assert found[-2] == "| none | 50.0±0.0 | 20.0±10.0 | 50.0±0.0 | 20.0±10.0 |"
    # Differences of rider are 0.1, 0.2 and -0.1: t = 0.0667 / (0.1528 / sqrt 3) = 0.756, p = 0.53 with 2 degrees.
    cell = "26.7±5.8 (+6.7, p 0.53)"
    assert found[-1] == f"| instance | 53.3±7.6 (+3.3, p 0.53) | {cell} | 53.3±7.6 (+3.3, p 0.53) | {cell} |"


def test_the_speeds_are_those_measured():
    found = json.loads((RESULTS / "uncertainty.json").read_text())
    assert found["passed"] and all(found[name]["equal bit for bit"] for name in ("street", "ragged", "noise"))
    masked, whole = (
        [found[name]["times"][way] for name in ("street", "ragged", "noise")] for way in ("masked", "per class")
    )
    text = " ".join(PAGE.split())
    assert f"{masked[0]:.0f} times as fast on a street of 1024x2048 and 19 classes" in text
    assert f"{masked[1]:.0f} times on a ragged one, {masked[2]:g} times on noise" in text
    assert "it is {:.0f}, {:.0f} and {:.0f} times".format(*whole) in text
