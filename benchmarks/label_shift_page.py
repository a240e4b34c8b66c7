"""What docs/uniseg.md shows of the label-shift benchmark: means over seeds, and tables of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "uniseg.md"
MARK = "<!-- from benchmarks/results/label_shift.json on, by python -m benchmarks.label_shift -->\n"
WORLDS = {
    "b": "CamVid, deal b",
    "hard": "CamVid, hard deal",
    "streets": "Streets C+I+B+M",
    "streets-240": "Streets, 240 images a source",
    "streets-alike": "Streets, all sources alike",
}
RULES = {
    "refitted": "ours, refitted",
    "calibrated": "ours",
    "paper": "the paper's",
    "shown": "ours, from a faultless net that knows what is shown",
    "faultless": "ours, from a faultless net",
}
SIMPLE = {"told": "P alone", "lift": "lift of P, names as a prior"}
METHODS = ("CE", "BCE", "Null BCE", "C-R BCE, learned", "C-R BCE, true", "NLL+, true")
WHY = ("not shown", "not learnt", "taken for broader", "scored low")  #: a relation was missed
_RELATIONS = ("f1", "average_precision", "precision", "recall")


def summary(runs: Mapping[str, Any]) -> dict[str, Any]:
    """Per part: figures of both rules, and mIoU per method. {"mean", "std", "seeds"} each, mIoU in percent."""
    found: dict[str, Any] = {}
    for part, seeds in runs.items():
        relations: dict[str, Any] = {}
        for rule in RULES:
            judged = _judged(seeds, rule)
            if judged:
                relations[rule] = {name: _spread([one[name] or 0.0 for one in judged]) for name in _RELATIONS}
                by_name = [one["by_name"] for one in judged]
                relations[rule]["by_name"] = {n: _spread([one[n] for one in by_name]) for n in _RELATIONS[:2]}
        for name in SIMPLE:
            judged = _judged(seeds, name)
            if judged:
                relations[name] = {n: _spread([one[n] for one in judged]) for n in ("average_precision", "by_name")}
        methods = {}
        for method in METHODS:
            values = [100 * run[f"score {method}"]["miou"] for run in seeds.values() if f"score {method}" in run]
            if values:
                methods[method] = _spread(values)
        nets = [run["train null-bce"] for run in seeds.values() if "train null-bce" in run]
        minutes = [net["cpu_minutes"] for net in nets if net["cpu_minutes"] is not None]
        budget = {"steps": nets[0]["steps"], "cpu_minutes": _spread(minutes)} if minutes else {}
        fits = [run["refit null-bce"]["cpu_minutes"] for run in seeds.values() if "refit null-bce" in run]
        if fits := [minutes for minutes in fits if minutes is not None]:
            budget["refit_minutes"] = _spread(fits)
        found[part] = {"relations": relations, "methods": methods, "budget": budget}
    return found


def _judged(seeds: Mapping[str, Any], rule: str) -> list[Any]:
    every = [run.get("relations null-bce", {}) for run in seeds.values()]
    return [found[rule] for found in every if rule in found]


def _spread(values: list[float]) -> dict[str, Any]:
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "seeds": len(values)}


def _told(value: Mapping[str, Any], digits: int = 2) -> str:
    spread = "" if value["std"] is None else f" ± {value['std']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{spread}"


def title_of(part: str) -> str:
    world, _, share = part.partition("@")
    return f"{WORLDS[world]}, {share} of the steps" if share else WORLDS[world]


def tables(results: Mapping[str, Any]) -> str:
    """Relations by both rules; what was missed and wrong; mIoU by method."""
    found = summary(results["runs"])
    order = [part for part in found if found[part]["relations"]]
    lines = [
        "Relations: a label of a source is also another class if some other source would call at least 0.9 of its",
        "pixels so. By name: a pair of names counts once, whoever says them. Mean ± standard deviation over seeds.",
        "",
        "| world | steps | CPU minutes | seeds | rule | F1 | AP | precision | recall | F1 by name | AP by name |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for part in order:
        budget, relations = found[part]["budget"], found[part]["relations"]
        seeds = relations["calibrated"]["f1"]["seeds"]
        minutes = budget["cpu_minutes"]["mean"]
        more = budget.get("refit_minutes", {"mean": 0.0})["mean"]

        def head(minutes: float, part: str = part, steps: int = budget["steps"], seeds: int = seeds) -> str:
            return f"| {title_of(part)} | {steps} | {minutes:.1f} | {seeds} |"

        for rule, about in ((r, a) for r, a in RULES.items() if r in relations):
            facts = relations[rule]
            cells = [_told(facts[name]) for name in _RELATIONS]
            cells += [_told(facts["by_name"][name]) for name in _RELATIONS[:2]]
            lines.append(f"{head(minutes + (more if rule == 'refitted' else 0))} {' | '.join([about, *cells])} |")
        for name, about in ((n, a) for n, a in SIMPLE.items() if n in relations):
            mine, named = (_told(relations[name][key]) for key in ("average_precision", "by_name"))
            lines.append(f"{head(minutes)} {about} | - | {mine} | - | - | - | {named} |")
    lines += _missed(results["runs"])
    lines += [
        "",
        "mIoU in percent on what no training has seen; in brackets the difference from Null BCE with the same seed:",
        "",
        f"| method | {' | '.join(map(title_of, _compared(found)))} |",
    ]
    lines.append("| --- " * (1 + len(_compared(found))) + "|")
    for method in METHODS:
        cells = [_cell(results["runs"][part], method) for part in _compared(found)]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _missed(runs: Mapping[str, Any]) -> list[str]:
    """Why, over all seeds, where it was looked at."""
    lines = ["", "What our rule missed, over all seeds:", "", f"| world | rule | {' | '.join(WHY)} |"]
    lines.append("| --- " * (2 + len(WHY)) + "|")
    before = len(lines)
    for part, seeds in runs.items():
        for rule in ("refitted", "calibrated"):
            if reasons := [found["why_missed"] for found in _judged(seeds, rule) if "why_missed" in found]:
                counts = " | ".join(str(sum(found[name] for found in reasons)) for name in WHY)
                lines.append(f"| {title_of(part)} | {RULES[rule]} | {counts} |")
    return lines if len(lines) > before else []


def _compared(found: Mapping[str, Any]) -> list[str]:
    return [part for part in found if found[part]["methods"]]


def _cell(seeds: Mapping[str, Any], method: str) -> str:
    """Mean ± deviation, and that of the difference from Null BCE with the same seed."""
    key, control = f"score {method}", "score Null BCE"
    values = [100 * run[key]["miou"] for run in seeds.values() if key in run]
    if not values:
        return "-"
    both = [100 * (run[key]["miou"] - run[control]["miou"]) for run in seeds.values() if key in run and control in run]
    if method == "Null BCE" or not both:
        return _told(_spread(values), 1)
    difference = _spread(both)
    sign = "+" if difference["mean"] >= 0 else ""
    return f"{_told(_spread(values), 1)} ({sign}{_told(difference, 1)})"


def write_page(results: Mapping[str, Any]) -> None:
    """The tables into the page, below its mark."""
    text, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(text + mark + "\n" + tables(results), encoding="utf-8")
