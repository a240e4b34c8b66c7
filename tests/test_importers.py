"""Mapping tables from elsewhere: SSSOM and CSV in, mapping files out, and back; refusals word by word."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unify.cli import run
from unify.errors import UnifyError
from unify.importers import Table, mapping_yaml, read_table, sssom_tsv, write_mapping
from unify.mapping import Mapping, load_mapping, read_mapping
from unify.spaces import LabelClass, LabelSpace, load_space, mappings_dir, odd_name

from .test_mapping import RAW, RULES, TARGET

HEAD = "subject_id\tsubject_label\tpredicate_id\tobject_id\tobject_label\tmapping_justification\tcomment\n"
SSSOM = f"""\
#curie_map:
#  raw: "https://example.org/raw/"
#  target: "https://example.org/target/"
#mapping_set_id: https://example.org/a-set
#mapping_set_title: Raw to target
{HEAD}\
raw:car\tcar\tskos:exactMatch\ttarget:car\tcar\tsemapv:ManualMappingCuration\t
raw:lorry\tlorry\tskos:narrowMatch\ttarget:truck\ttruck\tsemapv:ManualMappingCuration\tnot told apart
raw:lorry\tlorry\tskos:narrowMatch\ttarget:bus\tbus\tsemapv:ManualMappingCuration\tnot told apart
raw:kerb\tkerb\tskos:broadMatch\ttarget:road\troad\tsemapv:ManualMappingCuration\t
raw:junk\tjunk\tskos:exactMatch\tsssom:NoTermFound\t\tsemapv:ManualMappingCuration\t
"""
CSV = """\
source,target,comment
car,car,
lorry,truck; bus,not told apart
kerb,road,
junk,,
"""


def file_of(folder: Path, text: str, name: str = "table.tsv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str, name: str = "table.tsv", **options) -> list[str]:
    path = file_of(folder, text, name)
    with pytest.raises(UnifyError) as e:
        read_table(path, RAW, TARGET, **options)
    assert {p.path for p in e.value.problems} == {str(path)} and e.value.exit_code == 78
    return [f"{p.what} — {p.fix}" for p in e.value.problems]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (SSSOM, "table.sssom.tsv"),
        (CSV, "table.csv"),
        ("source,target\ncar,car\nlorry,truck\nlorry,bus\nkerb,road\njunk,\n", "rows.csv"),
        ("source\ttarget\nkerb\troad\njunk\t\ncar\tcar\nlorry\tbus;truck\n", "tabs.csv"),
        (SSSOM.replace("\t", ","), "sssom.csv"),
        ("\ufeff" + CSV.replace("\n", "\r\n") + "\r\n\r\n", "windows.csv"),
        (SSSOM.replace("subject_label", "x").replace("object_label", "y"), "ids_only.tsv"),
        (SSSOM.replace("subject_id", "x").replace("raw:", "else:").replace("target:car", "target:4711"), "labels.tsv"),
    ],
)
def test_each_form_gives_the_same_mapping(tmp_path, text, name):
    table = read_table(file_of(tmp_path, text, name), RAW, TARGET)
    assert table.mapping.rules == RULES


def test_references_and_comments_are_kept(tmp_path):
    table = read_table(file_of(tmp_path, SSSOM), RAW, TARGET)
    assert (table.reference, table.comments) == ("Raw to target", {"lorry": "not told apart"})
    assert read_table(file_of(tmp_path, CSV, "mine.csv"), RAW, TARGET).reference == "mine.csv"
    assert "  lorry: [truck, bus]  # not told apart\n" in mapping_yaml(table)


def test_names_in_ids_are_percent_encoded(tmp_path):
    source, target = load_space("bdd100k"), load_space("bdd19")
    rows = [f"x:{n.replace(' ', '%20')}\tskos:exactMatch\ty:{n.replace(' ', '%20')}" for n in target.names]
    text = "subject_id\tpredicate_id\tobject_id\n" + "\n".join([*rows, "x:unknown\tskos:exactMatch\tsssom:NoTermFound"])
    assert read_table(file_of(tmp_path, text), source, target).mapping == load_mapping("bdd100k", "bdd19")


# --- What is refused


def test_all_faults_at_once_with_their_lines(tmp_path):
    text = SSSOM.replace("raw:kerb\tkerb", "raw:kreb\tkreb").replace("target:car\tcar", "target:cra\tcra")
    text += (
        "raw:junk\tjunk\tskos:exactMatch\ttarget:road\troad\tx\t\n"
        + "raw:car\tcar\tskos:relatedMatch\ttarget:bus\tbus\n"
    )
    assert faults(tmp_path, text) == [
        "line 7: 'cra' is no class of target (did you mean 'car'?) — correct the name",
        "line 10: 'kreb' is no class of raw (did you mean 'kerb'?) — correct the name",
        "line 11: 'junk' is void here, but 'road' on line 12 — keep one of them",
        "line 13: 'skos:relatedMatch' gives no rule — known: skos:exactMatch, skos:closeMatch, skos:broadMatch, "
        "skos:narrowMatch; or remove the row",
        "1 source class has no row: 'kerb' — add rows, or make them void with --rest void",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("raw:kerb\tkerb\tskos:broadMatch", "raw:kerb\tcar\tskos:broadMatch"),
         "line 10: the subject is 'car' by its label and 'kerb' by its id — make them agree"),
        (("raw:lorry\tlorry\tskos:narrowMatch\ttarget:bus\tbus", "raw:lorry\tlorry\tskos:exactMatch\ttarget:bus\tbus"),
         "line 9: 'lorry' is matched as a whole, and to 'truck', 'bus' — one exact or broad match, or only narrow"),
        (("target:bus\tbus", "target:truck\ttruck"), "line 9: 'lorry' to 'truck' again, first on line 8"),
        (("raw:car\tcar\tskos:exactMatch", "raw:car\tcar\tskos:narrowMatch"),
         "line 7: 'car' has one narrow match, 'car', and the rest of it none"),
        (("\tcomment", "\tpredicate_modifier"), "line 8: a row that says 'not told apart' gives no rule — remove it"),
        (("\tcomment", ""), "line 7: 7 cells, but 6 columns"),
        (("object_id\tobject_label", "x\ty"), "line 6: no column object_id or object_label"),
        (("object_label", "subject_id"), "line 6: columns that stand twice: 'subject_id'"),
        (("#curie_map:", "#curie_map: ["), "the header is not YAML"),
        (("#mapping_set_title: Raw to target", "#a: &x 1\n#b: *x"), "line 1: an alias (*) in the header"),
    ],
)  # fmt: skip
def test_faults_of_sssom(tmp_path, change, message):
    assert any(line.startswith(message) or message in line for line in faults(tmp_path, SSSOM.replace(*change)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CSV.replace("source,target", "from,to"), "line 1: no column 'source', 'target', but 'from', 'to', 'comment'"),
        ("", "line 1: no column 'source', 'target', but none"),
        (CSV + "junk,road,\n", "line 5: 'junk' is void here, but 'road' on line 6"),
        (CSV + "junk,,\n", "line 6: 'junk' to void again, first on line 5"),
        (CSV.replace("truck; bus", "truck; truck"), "line 3: 'lorry' to 'truck' again, first on line 3"),
        (CSV.replace("truck; bus", "truck;"), "line 3: an empty name — correct the name"),
        (CSV.replace("kerb,", ","), "line 4: an empty name"),
        (CSV.replace('not told apart', '"two\nlines"') + "x,y\n", "line 7: 'x' is no class of raw"),
        (CSV.replace("junk,,\n", ""), "1 source class has no row: 'junk'"),
        ('source,target\n"' + "x" * 200_000, "is no line of a table: field larger than field limit"),
    ],
)  # fmt: skip
def test_faults_of_csv(tmp_path, text, message):
    assert any(message in line for line in faults(tmp_path, text, "table.csv"))


def test_a_row_that_is_wrong_is_not_also_missing(tmp_path):
    """'kerb' has a row, if a wrong one; 'junk' has none."""
    text = CSV.replace("kerb,road", "kerb,raod").replace("junk,,\n", "")
    assert [line.split(" — ")[0] for line in faults(tmp_path, text, "table.csv")] == [
        "line 4: 'raod' is no class of target (did you mean 'road'?)", "1 source class has no row: 'junk'",
    ]  # fmt: skip


def test_the_rest_may_be_void_if_one_says_so(tmp_path):
    table = read_table(file_of(tmp_path, "source,target\ncar,car\n", "t.csv"), RAW, TARGET, rest_void=True)
    assert table.mapping.rules == {"car": ("car",), "lorry": (), "kerb": (), "junk": ()}
    assert faults(tmp_path, "source,target\ncra,car\n", "t.csv", rest_void=True) == [
        "line 2: 'cra' is no class of raw (did you mean 'car'?) — correct the name"
    ]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UnifyError, match="no such file"):
        read_table(tmp_path / "none.csv", RAW, TARGET)
    for data, what in ((b"source,target\n\xff\xfe", "is not UTF-8 text"), (b"x" * (2 << 20), "is larger than")):
        (tmp_path / "x.csv").write_bytes(data)
        with pytest.raises(UnifyError, match=what):
            read_table(tmp_path / "x.csv", RAW, TARGET)
    with pytest.raises(UnifyError, match="cannot be read"):
        read_table(tmp_path, RAW, TARGET)


def test_a_name_with_a_semicolon(tmp_path):
    target = LabelSpace("t", (LabelClass(0, "a;b", (0, 0, 0)), LabelClass(1, "a", (1, 0, 0))))
    table = read_table(file_of(tmp_path, "source,target\ncar,a;b\nlorry,a\nkerb,\njunk,\n", "t.csv"), RAW, target)
    assert table.mapping.rules["car"] == ("a;b",)


# --- Written and read again


@pytest.mark.parametrize("path", sorted(mappings_dir().glob("to_*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_mapping_of_ours_survives_sssom(tmp_path, path):
    source, _, variant = path.stem.partition("@")
    mapping = load_mapping(source, path.parent.name[3:], variants=[variant] if variant else ())
    again = read_table(file_of(tmp_path, sssom_tsv(mapping, "a reference: yes", {})), mapping.source, mapping.target)
    assert again.mapping.rules == mapping.rules and again.reference == "a reference: yes"
    text = mapping_yaml(again)
    assert {n: [r] if isinstance(r, str) else r for n, r in yaml.safe_load(text)["rules"].items()} == {
        name: list(rule) for name, rule in mapping.rules.items()
    }


def test_what_the_written_predicates_say():
    text = sssom_tsv(load_mapping("camvid-32", "cityscapes19"))
    rows = csv.DictReader(io.StringIO("".join(x for x in text.splitlines(True) if x[0] != "#")), delimiter="\t")
    said = {(r["subject_label"], r["predicate_id"], r["object_id"]) for r in rows}
    assert ("Truck_Bus", "skos:narrowMatch", "cityscapes19:bus") in said, "one of several"
    assert ("Fence", "skos:exactMatch", "cityscapes19:fence") in said
    assert ("Road", "skos:broadMatch", "cityscapes19:road") in said, "lane markings are road, too"
    assert ("TrafficLight", "skos:broadMatch", "cityscapes19:traffic%20light") in said
    assert ("Void", "skos:exactMatch", "sssom:NoTermFound") in said
    header = yaml.safe_load("".join(line[1:] for line in text.splitlines(True) if line[0] == "#"))
    assert set(header["curie_map"]) == {"camvid-32", "cityscapes19"} and header["license"]


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6).filter(
    lambda n: n.isprintable() and n.strip() == n
)


@st.composite
def odd_mappings(draw) -> Mapping:
    """Names that CSV, YAML and ids would each like to read as something else."""
    tricky = st.sampled_from(
        ["no", "12", "null", "a: b", "- x", "a;b", "a,b", "#x", "[a", "x # y", "'", '"', "~", "a%20b"]
    )
    spaces = []
    for space in ("one", "two"):
        names = draw(st.lists(NAMES | tricky, min_size=1, max_size=5, unique_by=str.casefold))
        names = [n for n in names if not odd_name(n)] or ["a"]
        spaces.append(LabelSpace(space, tuple(LabelClass(i, n, (i, 0, 0)) for i, n in enumerate(names))))
    rule = st.lists(st.sampled_from(spaces[1].names), max_size=3, unique=True).map(tuple)
    return Mapping(*spaces, {name: draw(rule) for name in spaces[0].names})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much])
@given(odd_mappings())
def test_odd_names_survive_both_ways(tmp_path, mapping):
    comments = {name: f"of {name}: \t{rule}" for name, rule in mapping.rules.items()}
    table = read_table(file_of(tmp_path, sssom_tsv(mapping, "x", comments)), mapping.source, mapping.target)
    assert table.mapping.rules == mapping.rules
    text = mapping_yaml(Table(mapping, "it's: [odd", comments))
    stored = yaml.safe_load(text)
    assert {n: (r,) if isinstance(r, str) else tuple(r) for n, r in stored["rules"].items()} == mapping.rules
    assert stored["reference"] == "it's: [odd"


def test_the_file_is_where_mappings_are_looked_for(tmp_path):
    source, target = load_space("idd"), load_space("idd26")
    text = "source,target\n" + "".join(f"{n},\n" for n in source.names)
    path = write_mapping(read_table(file_of(tmp_path, text, "t.csv"), source, target), tmp_path / "my")
    assert path == tmp_path / "my" / "to_idd26" / "idd.yaml"
    assert not any(read_mapping(path).rules.values())
    assert load_mapping("idd", "idd26", [tmp_path / "my"]) == read_mapping(path)


# --- The command


def test_the_command(tmp_path, capsys):
    out, table = tmp_path / "my", tmp_path / "table.tsv"
    assert run(["spaces", "cityscapes19", "--sssom", "mapillary-v1.2", "--variant", "wilddash-policy"]) == 0
    table.write_text(capsys.readouterr().out)
    args = ["import-mapping", str(table), "--from", "mapillary-v1.2", "--to", "kitti19", "-o", str(out)]
    assert run([*args, "--json"]) == 0
    path = out / "to_cityscapes19" / "mapillary-v1.2.yaml"
    expected = load_mapping("mapillary-v1.2", "cityscapes19", variants=["wilddash-policy"])
    voids = sum(rule == () for rule in expected.rules.values())
    assert json.loads(capsys.readouterr().out) == {"path": str(path), "rules": 66, "void": voids, "sets": 0}
    assert read_mapping(path).rules == expected.rules
    assert run(["spaces", "--check", "--mappings", str(out)]) == 0
    before = path.read_bytes()
    assert run(args) == 73 and path.read_bytes() == before
    assert "is there already" in capsys.readouterr().err
    assert run([*args, "--replace"]) == 0
    assert "66 rules" in capsys.readouterr().out


def test_the_command_refuses_without_a_trace(tmp_path, capsys):
    table = file_of(tmp_path, "source,target\nroad,raod\n", "t.csv")
    out = tmp_path / "my"
    assert run(["import-mapping", str(table), "--from", "bdd100k", "--to", "bdd19", "-o", str(out)]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "line 2: 'raod' is no class of bdd19" in lines[0] and "have no row" in lines[1]
    assert not out.exists()
    assert run(["import-mapping", str(table), "--from", "bdd", "--to", "bdd19", "-o", str(out)]) == 2
    assert run(["import-mapping", str(tmp_path / "x"), "--from", "bdd100k", "--to", "bdd19", "-o", str(out)]) == 66
    table.write_text("source,target\nroad,road\n")
    assert (
        run(["import-mapping", str(table), "--from", "bdd100k", "--to", "bdd19", "-o", str(out), "--rest", "void"]) == 0
    )
    assert "20 rules, 19 of them void" in capsys.readouterr().out


def test_spaces_of_ones_own_may_lie_in_the_folder_that_is_written_to(tmp_path):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "tiny.yaml").write_text("name: tiny\nclasses:\n- {id: 0, name: way, color: [1, 2, 3]}\n")
    table = file_of(tmp_path, "source,target\nway,road\n", "t.csv")
    assert run(["import-mapping", str(table), "--from", "tiny", "--to", "bdd19", "-o", str(tmp_path)]) == 0
    assert load_mapping("tiny", "bdd19", [tmp_path]).rules == {"way": ("road",)}
