"""Tables B-1 and C-2 of the DropClass supplement, from the figures of their classes; and the forms of a table."""

from __future__ import annotations

import json
import random
import re

import pytest

from unify.errors import UnifyError
from unify.papers.tables import Figure, PaperTable, load_tables
from unify.report.ratio_tables import ModelScores, Row, Table, frequency, robustness

#: Where B-1's own figures, rounded, give another last digit than is printed: (row, class or mean) → derived.
#: Printed Δ are of unrounded IoU; a difference of two rounded numbers can be off by 0.1.
OTHERWISE_B1 = {
    ("Δ (Baseline)", "train"): "-13.6",  # printed -13.5
    ("Δ (Baseline)", "bus"): "-7.2",  # -7.3
    ("Δ (Baseline)", "person"): "-7.4",  # -7.5
    ("Δ (Baseline)", "terrain"): "-6.1",  # -6.2
    ("Δ (Baseline)", "sky"): "-2.5",  # -2.6
    ("Δ (Baseline)", "sidewalk"): "-6.5",  # -6.6
    ("Δ (Baseline)", "building"): "-2.2",  # -2.1
    ("Δ (Baseline)", "vegetation"): "-2.1",  # -2.2
    ("Δ (Baseline)", "t.sign"): "-1.0",  # -1.1
    ("Ours (I*)", "mIoU"): "70.7",  # 70.8
    ("Δ (Ours)", "light"): "-9.9",  # -9.8
    ("Δ (Ours)", "sky"): "-2.8",  # -2.7
    ("Δ (Ours)", "pole"): "-2.6",  # -2.7
    ("Δ (Ours)", "vegetation"): "-1.7",  # -1.8
    ("Δ (Ours)", "car"): "-1.3",  # -1.4
}
#: The same of C-2.
OTHERWISE_C2 = {
    ("HRNetV1 Δ", "mIoU"): "0.6",  # printed 0.5
    ("HRNetV1 Δ (%)", "mIoU"): "0.8",  # 0.7
    ("HRNetV1 Δ (%)", "mIoU†"): "0.1",  # 0.2
    ("DeepLabV3 Δ (%)", "sheep"): "1.9",  # 2.0
    ("DeepLabV3 Δ (%)", "bus"): "-0.5",  # -0.6
    ("DeepLabV3 Δ (%)", "bicycle"): "1.7",  # 1.8
    ("DeepLabV3 Δ (%)", "horse"): "2.5",  # 2.4
    ("DeepLabV3 Δ (%)", "diningtable"): "-4.1",  # -4.2
    ("DeepLabV3 Δ (%)", "car"): "-0.4",  # -0.5
    ("DeepLabV3 Δ (%)", "chair"): "7.8",  # 7.9
    ("DeepLabV3 Δ (%)", "mIoU†"): "0.4",  # 0.3
}


@pytest.fixture(scope="module")
def tables() -> dict[str, PaperTable]:
    return load_tables()


def shares(table: PaperTable, row: str) -> dict[str, float | None]:
    """IoU in 0..1, as `unify evaluate` gives it, in an order of classes that has nothing to do with the table's."""
    values = table.row(row).values
    return {name: float(cell.value) / 100 for name, cell in sorted(values.items()) if isinstance(cell, Figure)}


def cells(table: Table, row: Row) -> dict[str, str]:
    heads = (name if name == "mIoU†" else name.rstrip("†") for name in table.columns)
    return dict(zip(heads, row.shown()[1:], strict=True))


def printed(table: PaperTable, row: str) -> dict[str, str]:
    found = table.row(row)
    return {k: cell.text for k, cell in [*found.values.items(), *found.printed.items()] if isinstance(cell, Figure)}


# --- The paper's tables ---------------------------------------------------------------------------------


def test_b1_from_the_iou_of_its_classes(tables):
    b1 = tables["dropclass-b1"]
    models = [ModelScores(m, shares(b1, f"{m} (I)"), shares(b1, f"{m} (I*)")) for m in ("Baseline", "Ours")]
    table = robustness(models, selecting=1)
    # Light and bicycle lose 9.8 both as printed; rounded as they are, 9.9 and 9.8.
    order = [*b1.columns]
    order[4:6] = ["light", "bicycle"]
    assert table.columns == (*order, "mIoU", "mIoU*")
    assert [row.name for row in table.rows] == [row.name for row in b1.rows]
    otherwise = {}
    for row in table.rows:
        expected = printed(b1, row.name)
        assert len(expected) == 21
        found = cells(table, row)
        assert abs(float(found["mIoU*"]) - float(expected["mIoU*"])) < 1e-9
        otherwise |= {(row.name, name): found[name] for name, text in expected.items() if found[name] != text}
    assert otherwise == OTHERWISE_B1
    assert table.notes == ("mIoU*: the 9 classes that lose most IoU from I to I* in Ours",)


def test_by_the_baseline_the_order_and_its_nine_are_others(tables):
    b1 = tables["dropclass-b1"]
    models = [ModelScores(m, shares(b1, f"{m} (I)"), shares(b1, f"{m} (I*)")) for m in ("Baseline", "Ours")]
    table = robustness(models)
    drop = {name: a.value - b.value for name in b1.columns
            if isinstance(a := b1.row("Baseline (I)").values[name], Figure)
            and isinstance(b := b1.row("Baseline (I*)").values[name], Figure)}  # fmt: skip
    assert list(table.columns[:19]) == sorted(sorted(drop), key=lambda name: -drop[name])
    nine = table.columns[:9]
    assert {"person", "sidewalk"} < set(nine) and not {"truck", "fence"} & set(nine)
    for row in table.rows[:2]:
        mean = sum(float(printed(b1, row.name)[name]) for name in nine) / 9
        assert row.cells[-1] == pytest.approx(mean)


@pytest.mark.parametrize("net", ["HRNetV1", "HRNetV2", "DeepLabV3"])
def test_c2_from_the_iou_of_its_classes(tables, net):
    c2 = tables["dropclass-c2"]
    images = {name: round(10 * float(text)) for name, text in printed(c2, "Instance %").items()}
    before, after = (ModelScores(f"{net} {m}", shares(c2, f"{net} {m}"), {}) for m in ("Baseline", "Ours"))
    table = frequency(before, after, images)
    rare = {name for name in table.columns if name.endswith("†")} - {"mIoU†"}
    assert {name.rstrip("†") for name in rare} == set(c2.columns[:10])
    assert [images[name.rstrip("†")] for name in table.columns[:20]] == sorted(images.values())
    otherwise = {}
    for row, name in zip(table.rows[1:], ("Baseline", "Ours", "Δ", "Δ (%)"), strict=True):
        found, expected = cells(table, row), printed(c2, f"{net} {name}")
        assert found.keys() == expected.keys()
        otherwise |= {(f"{net} {name}", k): found[k] for k, text in expected.items() if found[k] != text}
    assert otherwise == {place: text for place, text in OTHERWISE_C2.items() if place[0].startswith(net)}
    frequencies = dict(zip(table.columns, table.rows[0].cells, strict=True))
    assert sum(f for f in frequencies.values() if isinstance(f, float)) == pytest.approx(100)
    assert frequencies["person"] == pytest.approx(100 * 145 / 823)


# --- Any scores -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_robustness_is_what_plain_loops_give(seed):
    draw = random.Random(seed)
    names = [f"class {i}" for i in range(draw.randint(1, 30))]

    def scores() -> dict[str, float | None]:
        return {name: None if draw.random() < 0.05 else draw.random() for name in names}

    models = [ModelScores(f"net {m}", scores(), scores()) for m in range(draw.randint(1, 3))]
    selecting, most = draw.randrange(len(models)), draw.randint(1, 12)
    table = robustness(models, selecting, most)
    complete = [n for n in names if all(None not in (m.biased[n], m.unbiased[n]) for m in models)]
    chosen = models[selecting]
    complete.sort(key=lambda name: chosen.unbiased[name] - chosen.biased[name])
    number = most if len(complete) >= 2 * most else max(1, len(complete) // 2)
    assert list(table.columns[: len(complete)]) == complete
    assert set(table.columns[:-2]) == set(names) and table.columns[-2:] == ("mIoU", "mIoU*")
    by_name = {row.name: dict(zip(table.columns, row.cells, strict=True)) for row in table.rows}
    for model in models:
        for on, given in (("I", model.biased), ("I*", model.unbiased)):
            row = by_name[f"{model.name} ({on})"]
            for name in names:
                assert row[name] is None if given[name] is None else row[name] == pytest.approx(100 * given[name])
            for head, group in (("mIoU", complete), ("mIoU*", complete[:number])):
                total = sum(100 * given[name] for name in group)
                assert (row[head] is None) if not group else row[head] == pytest.approx(total / len(group))
    left_out = [name for name in names if name not in complete]
    assert ("in no mean" in " ".join(table.notes)) == bool(left_out)
    assert all(name in table.notes[-1] for name in left_out)


def test_a_class_without_a_score_is_in_no_mean_of_frequency_either():
    before = ModelScores("a", {"x": 0.5, "y": None, "z": 0.0, "never": 0.2}, {})
    after = ModelScores("b", {"x": 0.6, "y": 0.9, "z": 0.1, "never": 0.2}, {})
    table = frequency(before, after, {"x": 30, "y": 1, "z": 10, "never": 0})
    assert table.columns == ("never", "y", "z†", "x", "mIoU", "mIoU†")
    assert [row.shown() for row in table.rows] == [
        ["frequency %", "0.0", "2.4", "24.4", "73.2", "", ""],
        ["a", "20.0", "-", "0.0", "50.0", "23.3", "0.0"],
        ["b", "20.0", "90.0", "10.0", "60.0", "30.0", "10.0"],
        ["Δ", "0.0", "-", "10.0", "10.0", "6.7", "10.0"],
        ["Δ %", "0.0", "-", "-", "20.0", "28.6", "-"],
    ]
    assert table.notes == ("mIoU†: the 1 class that occur least", "in no mean, for want of a score: y")


def test_the_classes_that_were_erased_are_a_row():
    model = ModelScores("net", {"a": 0.5, "b": 0.6}, {"a": 0.4, "b": 0.2})
    table = robustness([model], top={"a": ["b"], "b": ["a", "road"]})
    assert table.columns[:2] == ("b", "a")
    assert table.rows[-1].shown() == ["erased for it (net)", "a, road", "b", "", ""]


def test_what_cannot_be_compared_is_told_all_at_once():
    one = ModelScores("one", {"a": 0.5, "b": 0.5}, {"a": 0.5, "c": 0.5})
    with pytest.raises(UnifyError) as caught:
        robustness([one])
    assert [str(p) for p in caught.value.problems] == [
        "usage: one (I*) lacks classes of one (I): b — score both in one label space",
        "usage: one (I*) has classes that one (I) lacks: c — score both in one label space",
    ]
    for models, selecting in (([], 0), ([ModelScores("x", {"a": 0.1}, {"a": 0.1})], 1)):
        with pytest.raises(UnifyError, match="there is no model number"):
            robustness(models, selecting)
    two = ModelScores("two", {"a": 0.1, "b": 0.2}, {})
    with pytest.raises(UnifyError, match="no frequency is given for: b"):
        frequency(two, two, {"a": 1})


# --- Forms ----------------------------------------------------------------------------------------------

TABLE = Table(
    ("a & b", "mIoU*", "Δ"),
    (Row("net_1", (1.25, None, -0.04)), Row("50 %", (100.0, 3.0, "x | y"), digits=0)),
    ("mIoU*: of 1",),
)


def test_text():
    assert TABLE.text() == (
        "       a & b  mIoU*  Δ\n"
        "net_1    1.3      -  0.0\n"
        "50 %     100      3  x | y\n"
        "\n"
        "mIoU*: of 1"
    )  # fmt: skip
    assert TABLE.tall() == (
        "       net_1  50 %\n"
        "a & b    1.3  100\n"
        "mIoU*      -  3\n"
        "Δ        0.0  x | y\n"
        "\n"
        "mIoU*: of 1"
    )  # fmt: skip


def test_markdown_and_latex_escape_what_they_would_read():
    assert TABLE.markdown().splitlines() == [
        "|  | a & b | mIoU\\* | Δ |",
        "| --- | ---: | ---: | --- |",
        "| net_1 | 1.3 | - | 0.0 |",
        "| 50 % | 100 | 3 | x \\| y |",
        "",
        "mIoU\\*: of 1",
    ]
    assert TABLE.latex().splitlines() == [
        "% mIoU*: of 1",
        r"\begin{tabular}{lrrl}",
        r"\toprule",
        r" & a \& b & mIoU$^{*}$ & $\Delta$ \\",
        r"\midrule",
        r"net\_1 & 1.3 & - & 0.0 \\",
        r"50 \% & 100 & 3 & x | y \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_latex_of_the_papers_is_ascii_and_even(tables):
    from unify.papers.show import as_table

    for paper_table in tables.values():
        lines = [line for line in as_table(paper_table).latex().splitlines() if not line.startswith("%")]
        assert "\n".join(lines).isascii()
        columns = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])
        assert columns
        for line in lines:
            if line.endswith("\\\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(columns[1]) - 1
                assert line.count("{") == line.count("}")


def test_a_tall_table_in_blocks_has_each_row_once():
    rows = tuple(Row(f"row number {i}", (float(i), 2.0 * i)) for i in range(7))
    table = Table(("a", "b"), rows)
    for width in (20, 40, 60, 200):
        blocks = [block.splitlines() for block in table.tall(width).split("\n\n")]
        assert all(len(line) <= width for block in blocks for line in block)
        assert [cell for block in blocks for cell in re.findall(r"row number \d", block[0])] == [r.name for r in rows]
        assert [float(x) for block in blocks for x in block[1].split()[1:]] == [float(i) for i in range(7)]
        sizes = [len(block[1].split()) for block in blocks]
        assert max(sizes) - min(sizes) <= 1


def test_json_is_unrounded():
    data = TABLE.to_json()
    assert json.loads(json.dumps(data)) == data
    assert data["rows"][0] == {"name": "net_1", "values": {"a & b": 1.25, "mIoU*": None, "Δ": -0.04}}
    assert data["columns"] == ["a & b", "mIoU*", "Δ"] and data["notes"] == ["mIoU*: of 1"]
