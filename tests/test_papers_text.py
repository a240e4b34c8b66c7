"""The papers' tables as data, against the papers' text where it is at hand, and against our label spaces."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unify.mapping import load_mapping
from unify.papers.tables import Figure, PaperTable, load_tables
from unify.spaces import load_space, naive_union

TEXTS = Path(__file__).parents[2] / "shared/seeds"  #: the papers' text, not part of this repository


@pytest.fixture(scope="module")
def tables() -> dict[str, PaperTable]:
    return load_tables()


# --- The text -------------------------------------------------------------------------------------------


def text_of(first_words: str) -> str:
    """The paper's text that has these words, in plain characters: no TeX, one space, "±" between figures."""
    if not TEXTS.is_dir():
        pytest.skip("the papers' text is not at ../shared/seeds")
    for path in sorted(TEXTS.glob("*.txt"), reverse=True):
        text = path.read_text(encoding="utf-8")
        if first_words in text:
            text = re.sub(r"\\\\|\\operatorname|\\rm|[${}]", " ", text.replace("\\pm", "±"))
            return re.sub(r" *± *", "±", text)
    raise AssertionError(first_words)


WORDS = {
    "dropclass": "Table B-1: Quantifying", "cpp": "CPP Pooling loss weight",
    "uncertainty": "Full Tables for Experiment 1", "uniseg": "Table A-3",
}  # fmt: skip


def figures_in(text: str) -> list[str]:
    return re.findall(r"(?<![\w.:])-?\d+(?:\.\d+)?(?:±\d+\.\d+)?(?![\w:])", text)


def stands_in(run_of: list[str], tokens: list[str]) -> bool:
    return any(tokens[i : i + len(run_of)] == run_of for i in range(len(tokens) - len(run_of) + 1))


@pytest.mark.parametrize("name", [name for name, table in load_tables().items() if table.kind == "figures"])
def test_every_figure_stands_in_the_paper(tables, name):
    """All of a line in one run of figures, or of a column where the text has columns."""
    table = tables[name]
    text = text_of(WORDS[table.paper.name])
    if name == "uncertainty-1":  # 0.60, turned over by the reader of the print
        assert text.count("09.0") == text.count("09:0") == 1
        text = text.replace("09.0", "0.60").replace("09:0", "0.60")
    tokens = figures_in(text)
    rows = [[c.text for c in [*r.values.values(), *r.printed.values()] if isinstance(c, Figure)] for r in table.rows]
    if table.paper.name == "uncertainty":
        lines = [list(line) for line in zip(*rows, strict=True)]
    elif name == "uniseg-a2":
        lines = [list(line) for half in (rows[:3], rows[3:]) for line in zip(*half, strict=True)]
    else:
        lines = rows
    for line in lines:
        assert stands_in(line, tokens), line
        assert not stands_in([*line[:-1], line[-1] + "1"], tokens), "the check must be able to fail"


@pytest.mark.parametrize("name", ["dropclass-b1", "dropclass-c2", "dropclass-e3"])
def test_the_other_text_of_that_paper_has_the_same_figures(tables, name):
    if not TEXTS.is_dir():
        pytest.skip("the papers' text is not at ../shared/seeds")
    tokens = figures_in(min(TEXTS.glob("*.txt")).read_text(encoding="utf-8"))
    for row in tables[name].rows:
        assert stands_in([c.text for c in [*row.values.values(), *row.printed.values()]], tokens), row.name


@pytest.mark.parametrize("name", ["dropclass-b1", "dropclass-c2", "uncertainty-1", "uncertainty-2", "uncertainty-3"])
def test_the_classes_stand_in_the_paper_in_this_order(tables, name):
    text = text_of(WORDS[tables[name].paper.name])
    if name.startswith("uncertainty"):
        start = text.index(f"Table {tables[name].number}: ")
        found = [line.split("\t")[0].strip() for line in text[start:].splitlines() if line.count("\t") >= 2]
        found = found[found.index("Road") :][: len(tables[name].columns)]
    else:
        first, last = tables[name].columns[0], tables[name].columns[-1]
        line = next(x for x in text.replace(" <sup>†</sup>", "").splitlines() if f"\t{first}\t" in x and last in x)
        found = [word for word in line.split("\t") if word][: len(tables[name].columns)]
    assert found == list(tables[name].columns)


def test_words_and_marks_stand_in_the_paper(tables):
    lines = {re.sub(r"\s+", " ", line).strip() for line in text_of(WORDS["uniseg"]).splitlines()}
    for row in tables["uniseg-a1"].rows:
        assert f"| {row.name} | {row.values['Secondary Label']} |" in lines
    halves = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    members = {tuple(cells[at : at + 4]) for cells in halves for at in (0, 4) if len(cells) == 8}
    members = {tuple("motorcycle" if c == "m motorcycle" else c for c in four) for four in members}
    for row in tables["uniseg-a3"].rows:
        assert tuple(row.name if cell == "x" else "" for cell in row.values.values()) in members
    lines = set(text_of(WORDS["cpp"]).splitlines())
    for number, row in enumerate(tables["cpp-4"].rows):
        assert f"{number}\t{row.name}\t{row.values['Mapillary']}" in lines


# --- Against our label spaces ---------------------------------------------------------------------------


def test_columns_are_the_classes_of_a_label_space(tables):
    checked = []
    for table in tables.values():
        if table.space and table.kind == "figures":
            names = [table.names.get(column, column.lower()) for column in table.columns]
            assert sorted(names) == sorted(load_space(table.space).names), table.name
            checked.append(table.name)
    assert checked == ["dropclass-b1", "dropclass-c2", "uncertainty-1", "uncertainty-2", "uncertainty-3"]


def test_rows_of_names_are_classes_too(tables):
    assert [row.name.lower() for row in tables["cpp-4"].rows] == list(load_space("cityscapes19").names)
    union = load_space("union70").names
    assert {row.name for row in tables["uniseg-a1"].rows} < set(union)
    assert {row.values["Secondary Label"] for row in tables["uniseg-a1"].rows} < set(union)
    assert [row.name for row in sorted(tables["uniseg-a3"].rows, key=lambda row: row.name)] == sorted(union)


def test_a3_is_the_naive_union_of_our_spaces_but_for_three_cells(tables):
    spaces = {"Cityscapes": "cityscapes19", "BDD": "bdd19", "IDD": "idd26", "Mapillary": "mapillary65"}
    loaded = {column: load_space(space) for column, space in spaces.items()}
    table = tables["uniseg-a3"]
    assert list(naive_union(list(loaded.values())).names) == sorted(row.name for row in table.rows)
    elsewhere = {}
    for row in table.rows:
        marked = {column for column, cell in row.values.items() if cell == "x"}
        if marked != (has := {column for column, space in loaded.items() if row.name in space.names}):
            elsewhere[row.name] = (marked, has)
    assert elsewhere == {
        "obs-str-bar-fallback": ({"Cityscapes"}, {"IDD"}),
        "tunnel": ({"IDD"}, {"Mapillary"}),
        "utility pole": ({"IDD"}, {"Mapillary"}),
    }
    (ours,) = table.ours
    assert ours.value == len(table.rows) == 70


def test_table_4_sends_as_many_labels_as_our_mapping(tables):
    labels = [name for row in tables["cpp-4"].rows for name in row.values["Mapillary"].split(", ") if name != "N/A"]
    rules = load_mapping("mapillary-v1.2", "cityscapes19").rules
    assert len(labels) + 1 == sum(len(rule) == 1 for rule in rules.values()), "one comma is not printed"
