"""The papers' tables as data: what follows from them, against other arithmetic; files that are wrong; the command.

`python -m tests.test_papers` writes docs/papers.md anew.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import statistics
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from unify.cli import run
from unify.errors import UnifyError
from unify.papers.derive import Range, _largest_variance, compared, derived, differences, rounded
from unify.papers.show import as_table, facts, to_json
from unify.papers.tables import Derivation, Figure, Ours, PaperTable, find_table, load_tables

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "papers.md"
FOLDER = ROOT / "unify" / "papers"
RESULTS = ROOT / "benchmarks" / "results"

FIGURES = {
    "dropclass-b1": 126, "dropclass-c2": 284, "dropclass-e3": 12, "cpp-1": 10, "cpp-2": 40, "cpp-3": 5, "cpp-4": 19,
    "uncertainty-1": 120, "uncertainty-2": 40, "uncertainty-3": 80, "uniseg-a1": 23, "uniseg-a2": 30, "uniseg-a3": 129,
}  # fmt: skip

#: Every printed figure that its table's other figures do not give, and whether rounding explains it.
DIFFERENCES = {
    "dropclass-b1": [
        "Δ (Baseline), train: printed -13.5, derived -13.6",
        "Δ (Baseline), bus: printed -7.3, derived -7.2",
        "Δ (Baseline), person: printed -7.5, derived -7.4",
        "Δ (Baseline), terrain: printed -6.2, derived -6.1",
        "Δ (Baseline), sky: printed -2.6, derived -2.5",
        "Δ (Baseline), sidewalk: printed -6.6, derived -6.5",
        "Δ (Baseline), building: printed -2.1, derived -2.2",
        "Δ (Baseline), vegetation: printed -2.2, derived -2.1",
        "Δ (Baseline), t.sign: printed -1.1, derived -1.0",
        "Ours (I*), mIoU: printed 70.8, derived 70.7",
        "Δ (Ours), light: printed -9.8, derived -9.9",
        "Δ (Ours), sky: printed -2.7, derived -2.8",
        "Δ (Ours), pole: printed -2.7, derived -2.6",
        "Δ (Ours), vegetation: printed -1.8, derived -1.7",
        "Δ (Ours), car: printed -1.4, derived -1.3",
    ],
    "dropclass-c2": [
        "HRNetV1 Δ, mIoU: printed 0.5, derived 0.6",
        "HRNetV1 Δ (%), mIoU: printed 0.7, derived 0.8",
        "HRNetV1 Δ (%), mIoU†: printed 0.2, derived 0.1",
        "DeepLabV3 Δ (%), sheep: printed 2.0, derived 1.9",
        "DeepLabV3 Δ (%), bus: printed -0.6, derived -0.5",
        "DeepLabV3 Δ (%), bicycle: printed 1.8, derived 1.7",
        "DeepLabV3 Δ (%), horse: printed 2.4, derived 2.5",
        "DeepLabV3 Δ (%), diningtable: printed -4.2, derived -4.1",
        "DeepLabV3 Δ (%), car: printed -0.5, derived -0.4",
        "DeepLabV3 Δ (%), chair: printed 7.9, derived 7.8",
        "DeepLabV3 Δ (%), mIoU†: printed 0.3, derived 0.4",
    ],
    # No ten numbers between 79.21 and 80.80 with the mean 79.65 vary as much; four can.
    "cpp-2": ["DeepLabV2+, w/ CPP, random seed, Var.: printed 0.5613, at most 0.5317 is possible"],
    "cpp-3": ["SeeThroughNet, random seed, Var.: printed 0.007, derived 0.008; rounding leaves 0.007656 to 0.007832"],
    "uncertainty-3": [
        "CS → ACDC, standard, mIoU: printed 0.39±0.01, derived 0.40",
        "CS → ACDC, uncertainty, mIoU: printed 0.39±0.01, derived 0.40",
    ],
}


@pytest.fixture(scope="module")
def tables() -> dict[str, PaperTable]:
    return load_tables()


# --- What there is ---------------------------------------------------------------------------------------


def test_all_tables_are_there(tables):
    assert {name: table.num_cells for name, table in tables.items()} == FIGURES
    assert list(tables) == list(FIGURES)


# --- What follows ---------------------------------------------------------------------------------------


def test_differences_are_these(tables):
    found = {name: [str(d) for d in differences(table)] for name, table in tables.items()}
    assert {name: told for name, told in found.items() if told} == DIFFERENCES
    unexplained = [str(d) for table in tables.values() for d in differences(table) if not d.by_rounding]
    assert unexplained == DIFFERENCES["cpp-2"] + DIFFERENCES["cpp-3"]


def test_how_many_figures_were_computed_anew(tables):
    # B-1: 4 rows of 2 means, 2 rows of 19 + 2 differences; C-2: 6 of 2, 6 of 20 + 2.
    counts = {name: n for name, table in tables.items() if (n := compared(table))}
    assert counts == {
        "dropclass-b1": 4 * 2 + 2 * 21, "dropclass-c2": 6 * 2 + 6 * 22, "cpp-2": 8, "cpp-3": 1, "uncertainty-1": 6,
        "uncertainty-2": 2, "uncertainty-3": 4, "uniseg-a2": 6,
    }  # fmt: skip


def test_means_by_plain_floats(tables):
    seen = 0
    for table in tables.values():
        for row, ranges in zip(table.rows, derived(table), strict=True):
            for column, first in (("mIoU", None), ("mIoU*", 9), ("mIoU†", 10), ("Mean", None)):
                if column in ranges and not (row.minus or row.relative):
                    values = [float(cell.text.split("±")[0]) for cell in row.values.values()]
                    assert float(ranges[column].value) == pytest.approx(statistics.fmean(values[:first]))
                    seen += 1
    assert seen == 8 + 12 + 12 + 6


def test_the_means_of_experiment_2_across_datasets(tables):
    table = tables["uncertainty-3"]
    means = [rounded(ranges["mIoU"].value, 3) for ranges in derived(table)]
    assert means == ["0.398", "0.369", "0.399", "0.471"]
    assert [row.printed["mIoU"].text for row in table.rows] == ["0.39±0.01", "0.37±0.01", "0.39±0.01", "0.47±0.01"]


def test_rates_are_proportional_to_batches(tables):
    rates = [ranges["rate / image"].value for ranges in derived(tables["dropclass-e3"])]
    assert rates == [Fraction("0.04") / 48] * 3 + [Fraction("0.016") / 64] * 3


def test_the_best_weight_is_the_one_that_the_paper_uses(tables):
    (ranges,) = derived(tables["cpp-1"])
    assert float(ranges["best weight"].value) == 0.6


@pytest.mark.parametrize("name", ["dropclass-b1", "dropclass-c2", "uncertainty-3"])
def test_ranges_hold_whatever_the_figures_were_rounded_from(tables, name):
    """Figures drawn at random among those that round to the printed ones, and what follows from them in floats."""
    table, draw = tables[name], random.Random(name)
    ranges = derived(table)
    place = {row.name: i for i, row in enumerate(table.rows)}
    reached = 0.0
    for trial in range(60):
        exact = []
        for row in table.rows:
            spots = [draw.choice([-1, 1]) if trial % 3 else draw.uniform(-1, 1) for _ in row.values]
            spots = [trial or -1] * len(spots) if trial < 2 else spots  # all up, all down: the ends of a mean
            exact.append(
                [float(c.value + c.half_unit * Fraction(s)) for c, s in zip(row.values.values(), spots, strict=True)]
            )
        for row, of_row, values in zip(table.rows, ranges, exact, strict=True):
            if not row.minus and not row.relative:
                found = {d.column: statistics.fmean(values[: len(d.of)]) for d in table.derived if d.column in of_row}
            else:
                one, other = (exact[place[n]] for n in row.minus or row.relative)
                means = [[statistics.fmean(v[: len(d.of)]) for d in table.derived] for v in (one, other)]
                pairs = zip([*table.columns, *table.summaries], one + means[0], other + means[1], strict=True)
                found = {c: a - b if row.minus else 100 * (a - b) / b for c, a, b in pairs}
            assert found.keys() == of_row.keys()
            for column, value in found.items():
                r = of_row[column]
                assert float(r.low) - 1e-9 <= value <= float(r.high) + 1e-9
                reached = max(reached, abs(value - float(r.value)) / float(r.high - r.value))
    assert reached > 0.99, "no wider than it has to be"


def test_the_largest_variance_is_reached_and_not_exceeded():
    draw = random.Random(5)
    for _ in range(60):
        runs = draw.randint(3, 5)
        numbers = sorted(Fraction(draw.randint(0, 20), 10) for _ in range(runs))
        if numbers[0] == numbers[-1]:
            continue
        mean = sum(numbers) / runs
        exact = [Figure(str(x), x, 1, Fraction(0)) for x in (numbers[0], numbers[-1], mean)]
        table_like = {n: Range(f.value, f.value, f.value) for n, f in zip("abc", exact, strict=True)}
        bound = _largest_variance(table_like, Derivation("x", "largest variance", ("a", "b", "c"), runs)).high
        assert statistics.variance(numbers) <= bound
        # All ways to put the numbers on the same grid, with these ends and this mean.
        steps = [numbers[0] + Fraction(k, 10) for k in range(int((numbers[-1] - numbers[0]) * 10) + 1)]
        inner = itertools.combinations_with_replacement(steps, runs - 2)
        ways = [(numbers[0], numbers[-1], *rest) for rest in inner if sum(rest) == sum(numbers[1:-1])]
        assert max(map(statistics.variance, ways)) == bound


def test_rounding():
    for value, digits, text in (
        ("0.25", 1, "0.3"), ("-0.25", 1, "-0.3"), ("-0.04", 1, "0.0"), ("68.5222", 1, "68.5"), ("9.96", 1, "10.0"),
        ("2.5", 0, "3"), ("0.005", 2, "0.01"),
    ):  # fmt: skip
        assert rounded(Fraction(value), digits) == text


def test_figures():
    figure = Figure.parse("-0.94±0.010")
    assert figure == Figure("-0.94±0.010", Fraction(-94, 100), 2, Fraction(1, 200), Fraction(1, 100))
    assert Figure.parse("48", exact=True) == Figure("48", Fraction(48), 0, Fraction(0))
    assert [Figure.parse(text) for text in ("", "x", "1.", ".5", "1,5", "±1", "1.5 ", "1e3")] == [None] * 8


# --- Files that are wrong -------------------------------------------------------------------------------

WRONG = {
    "no paper 'x'": ("paper: dropclass", "paper: x"),
    "unknown keys: tabel": ("table: B-1", "table: B-1\ntabel: B-1"),
    "has no title": ("title: Robustness to bias, Top3 selected by DropClass\n", ""),
    "kind is 'numbers'": ("kind: figures", "kind: numbers"),
    "heads that stand twice: road": ("t.sign, road", "road, road"),
    "names is not column: name": ("{light:", "{lamp:"),
    "row 'Baseline (I)' has 18 cells for 19 columns": ("77.7 98.2 |", "98.2 |"),
    "row 'Baseline (I)' has 1 summaries for 2 heads": ("| 77.0 68.5", "| 77.0"),
    "row 'Baseline (I)', rider: '62,6' is no figure": ('"62.6', '"62,6'),
    "row 'Δ (Ours)' follows from 'Ours', which is no row of measured figures": (
        "[Ours (I*), Ours (I)]", "[Ours, Ours (I)]"),
    "row 'Δ (Ours)': minus does not name two rows": ("[Ours (I*), Ours (I)]", "[Ours (I*)]"),
    "rows that stand twice: Ours (I)": ("name: Ours (I*)", "name: Ours (I)"),
    "derived mIoU: is 'median'": ("{column: mIoU, is: mean}", "{column: mIoU, is: median}"),
    "derived mIoU*: first or runs is no number that can be": ("first: 9", "first: 20"),
    "derived mIoU*: no columns: roads": ("first: 9", "of: [roads]"),
    "ours: an entry without note": ("ours: []", 'ours: [{value: 1.5, command: unify}]'),
    "ours: an entry without a number as value": ("ours: []", 'ours: [{value: "1", command: unify, note: x}]'),
    "ours: no figure 'Theirs', 'mIoU' in the table": (
        "ours: []", "ours: [{value: 1, command: a, note: b, row: Theirs, column: mIoU}]"),
    "has 6 rows, not 7": ("kind: figures", "kind: figures\nnumber: 7"),
    "line 2: duplicate key 'paper', first on line 1": ("table: B-1", "paper: dropclass\ntable: B-1"),
    "notes is no list of texts": ("notes:\n-", "notes:\n- 5\n-"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "papers"))


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_in_a_file_is_told(folder, what):
    path = folder / "dropclass-b1.yaml"
    text = path.read_text(encoding="utf-8")
    assert WRONG[what][0] in text
    path.write_text(text.replace(*WRONG[what], 1), encoding="utf-8")
    with pytest.raises(UnifyError) as caught:
        load_tables(folder)
    assert f"bad-config: papers/dropclass-b1.yaml: {what}" in "\n".join(map(str, caught.value.problems))


def test_all_that_is_wrong_is_told_at_once(folder):
    for name, old, new in (
        ("cpp-1.yaml", "81.07", "81..07"),
        ("uniseg-a3.yaml", "x x x x", "x y x x"),
        ("papers.yaml", "venue: ECCV 2022", "place: Tel Aviv"),
    ):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    (folder / "new.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(UnifyError) as caught:
        load_tables(folder)
    told = [str(p).split(" — ")[0] for p in caught.value.problems]
    assert told == [
        "bad-config: papers/papers.yaml: 'uniseg' has no text for: venue",
        "bad-config: papers/cpp-1.yaml: row 'PSPNet, w/ CPP', 0.6: '81..07' is no figure",
        "bad-config: papers/new.yaml: has no `key: value` lines at its top",
        "bad-config: papers/uniseg-a1.yaml: no paper 'uniseg'",
        "bad-config: papers/uniseg-a2.yaml: no paper 'uniseg'",
        "bad-config: papers/uniseg-a3.yaml: no paper 'uniseg'",
        "bad-config: papers/uniseg-a3.yaml: row 'bicycle' has marks other than x and -: y",
    ]


# --- The command, and our own results -------------------------------------------------------------------


def test_tables_are_found_by_name_and_by_number(tables):
    assert find_table(tables, "DropClass-B1") is find_table(tables, "b-1") is tables["dropclass-b1"]
    with pytest.raises(UnifyError, match=r"several papers have a table 1 — give one of: cpp-1, uncertainty-1"):
        find_table(tables, "1")
    with pytest.raises(UnifyError, match=r"no table 'uniseg-a4'.*did you mean.*known: dropclass-b1"):
        find_table(tables, "uniseg-a4")


def test_the_list(capsys, tables):
    assert run(["papers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [facts(table) for table in tables.values()]
    assert run(["papers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(FIGURES)
    assert lines[1].split()[-5:] == ["126", "50", "15", "0", "0"]
    for args in (["papers", "--format", "latex"], ["papers", "B-1", "--json", "--format", "markdown"], ["papers", "Z"]):
        assert run(args) == 2
    capsys.readouterr()


@pytest.mark.parametrize("name", FIGURES)
def test_json_has_every_figure(capsys, tables, name):
    assert run(["papers", name, "--json"]) == 0
    data, table = json.loads(capsys.readouterr().out), tables[name]
    assert data["table"] == name and data["paper"]["name"] == table.paper.name
    assert len(data["differences"]) == len(DIFFERENCES.get(name, []))
    for row, found in zip(table.rows, data["rows"], strict=True):
        assert {"name", "values", "printed", "derived", "ours"} <= found.keys()
        assert found["name"] == row.name and found["ours"] is None
        assert found["printed"] == {head: float(figure.text.split("±")[0]) for head, figure in row.printed.items()}
        if table.kind == "figures":
            assert found["values"] == {head: float(cell.text.split("±")[0]) for head, cell in row.values.items()}
        elif table.kind == "marks":
            assert found["values"] == {head: cell == "x" for head, cell in row.values.items()}
    if name == "dropclass-b1":
        assert data["rows"][0]["derived"] == pytest.approx({"mIoU": 1463.0 / 19, "mIoU*": 616.7 / 9})
        assert data["differences"][9] == pytest.approx(
            {"row": "Ours (I*)", "column": "mIoU", "printed": 70.8, "derived": 1344.2 / 19, "low": 1344.2 / 19 - 0.05,
             "high": 1344.2 / 19 + 0.05, "rounding": True, "limit": False})  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("form", ["text", "markdown", "latex"])
def test_every_form_shows_every_figure(capsys, tables, name, form):
    assert run(["papers", name, "--format", form]) == 0
    out = capsys.readouterr().out.replace(r"$\pm$", "±")
    for row in tables[name].rows:
        for cell in [*row.values.values(), *row.printed.values()]:
            assert (cell.text if isinstance(cell, Figure) else cell) in out


def test_our_results_stand_beside_the_figures(folder):
    path = folder / "uniseg-a2.yaml"
    ours = (
        "{row: HRNet W18, UniSeg (Null BCE), column: IDD, value: 61.25, command: unify evaluate x, note: on our split}"
    ).replace("HRNet W18, UniSeg (Null BCE)", '"HRNet W18, UniSeg (Null BCE)"')
    path.write_text(path.read_text(encoding="utf-8").replace("ours: []", f"ours: [{ours}]"), encoding="utf-8")
    table = load_tables(folder)["uniseg-a2"]
    shown = as_table(table)
    assert shown.rows[2].name == "HRNet W18, UniSeg (Null BCE), ours"
    assert shown.rows[2].cells == ("", "61.25", "", "", "", "")
    told = "HRNet W18, UniSeg (Null BCE), IDD: 61.25, on our split (unify evaluate x)"
    assert shown.notes[-1] == f"ours: {told}"
    rows = to_json(table)["rows"]
    expected = {"IDD": {"value": 61.25, "command": "unify evaluate x", "note": "on our split"}}
    assert [row["ours"] for row in rows] == [None, expected, None, None, None, None]


def measured(ours: Ours) -> tuple[float, str] | None:
    """The value in the benchmark's file that `ours` names, and the command nearest to it; None without that file."""
    file, *keys = ours.result
    if not (RESULTS / file).is_file():
        return None
    value, command = json.loads((RESULTS / file).read_text(encoding="utf-8")), ""
    for key in keys:
        command = value.get("command", command) if isinstance(value, dict) else command
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value, command


def test_our_results_are_those_of_the_benchmarks(tables):
    for table in tables.values():
        for ours in table.ours:
            if ours.result and (found := measured(ours)) is not None:
                assert ours.value == pytest.approx(found[0], rel=1e-3), (table.name, ours)
                assert not found[1] or found[1].split()[:3] == ours.command.split()[:3], (table.name, ours)


def test_a_result_is_found_in_the_benchmarks():
    ours = Ours(0, "", "", result=("stats.json", "images"))
    assert measured(ours) == (40000, json.loads((RESULTS / "stats.json").read_text())["command"])
    assert measured(Ours(0, "", "", result=("no-such.json",))) is None


def page() -> bytes:
    command = [sys.executable, "-m", "unify", "papers", "--format", "markdown"]
    return subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout


def test_the_page_is_fresh():
    assert PAGE.read_bytes() == page(), "run `python -m tests.test_papers`"


if __name__ == "__main__":
    PAGE.write_bytes(page())
