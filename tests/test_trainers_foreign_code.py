"""Graphs of other people run nothing: what they hold besides computing is refused before torch sees it."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from trainers.foreign import open_net  # noqa: E402
from unify.spaces import load_space  # noqa: E402

from .test_trainers_checkpoint import Evil  # noqa: E402
from .test_trainers_foreign import fault, written  # noqa: E402


def changed(source: Path, target: Path, change) -> Path:
    """A copy of an archive in which `change(name, bytes)` has replaced parts; None drops one."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as out:
        for info in archive.infolist():
            data = change(info.filename.partition("/")[2], archive.read(info))
            if data is not None:
                out.writestr(info.filename, data)
    return target


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """A small net as TorchScript and exported."""
    torch.manual_seed(0)
    net, folder = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1)).eval(), tmp_path_factory.mktemp("graphs")
    (folder / "names.txt").write_text("road\nsky\ncar\n")
    for name in ("net.ts", "net.pt2"):
        written(net, folder / name)
        open_net(folder / name, target=load_space("cityscapes19"), classes=str(folder / "names.txt"))
    return folder


def refused(file: Path, graphs: Path) -> str:
    return fault(lambda: open_net(file, target=load_space("cityscapes19"), classes=str(graphs / "names.txt")))


@pytest.mark.parametrize("part", ["data.pkl", "constants.pkl"])
def test_pickles_of_torchscript_run_nothing(graphs, tmp_path, part):
    bait = tmp_path / "bait"
    code = pickle.dumps(Evil(bait), protocol=2)
    file = changed(graphs / "net.ts", tmp_path / "net.ts", lambda name, data: code if name == part else data)
    assert "torch cannot read it" in refused(file, graphs) and not bait.exists()
    pickle.loads(code)
    assert bait.exists(), "the bait works"


def test_torchscript_that_writes_files_is_refused(graphs, tmp_path):
    bait = tmp_path / "bait"

    class Writes(nn.Module):
        def __init__(self, file: str) -> None:
            super().__init__()
            self.file = file

        def forward(self, x):
            torch.save(x, self.file)
            return x

    file = written(Writes(str(bait)), tmp_path / "net.ts")
    assert "uses 'save'" in refused(file, graphs) and not bait.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(str(file))(torch.zeros(1))
    assert bait.exists(), "the bait works"


@pytest.mark.parametrize("line", ["  o = ops\n", "  x = ops.image.write_file\n", "  y = torch.from_file\n"])
def test_torchscript_of_other_operations_is_refused(graphs, tmp_path, line):
    def change(name, data):
        return data + line.encode() if name.startswith("code/") and name.endswith(".py") else data

    assert "nothing of it was run" in refused(changed(graphs / "net.ts", tmp_path / "net.ts", change), graphs)


def altered(graphs: Path, file: Path, alter) -> Path:
    """The exported net with another program."""

    def change(name, data):
        if name != "models/model.json":
            return data
        program = json.loads(data)
        alter(program)
        return json.dumps(program).encode()

    return changed(graphs / "net.pt2", file, change)


def size_of_input(program) -> dict:
    values = program["graph_module"]["graph"]["tensor_values"]
    (name,) = (n for n, v in values.items() if any("as_expr" in s for s in v["sizes"]) and n != "conv2d")
    return next(s["as_expr"] for s in values[name]["sizes"] if "as_expr" in s)


def test_strings_of_an_exported_net_are_not_evaluated(graphs, tmp_path):
    """torch evaluates sizes and guards as Python, looks operations up by name, and imports what types name."""
    bait = tmp_path / "bait"
    code = f"__import__('os').mkdir({str(bait)!r})"
    graph = lambda program: program["graph_module"]["graph"]  # noqa: E731
    signature = lambda program: program["graph_module"]["module_call_graph"][0]["signature"]  # noqa: E731
    spec = {"type": "builtins.tuple", "context": "null", "children_spec": []}
    alterations = {
        "size": lambda p: size_of_input(p).update(expr_str=code),
        "hidden size": lambda p: size_of_input(p).update(expr_str=f"Symbol({code})"),
        "operation": lambda p: graph(p)["nodes"][0].update(target="torch.hub.load"),
        "operator": lambda p: graph(p)["nodes"][0].update(target="_operator.call"),
        "file": lambda p: graph(p)["nodes"][0].update(target="torch.ops.aten.from_file.default"),
        "name": lambda p: graph(p)["nodes"][0].update(name=code),
        "dunder": lambda p: graph(p)["nodes"][0].update(name="x.__class__"),
        "key": lambda p: graph(p)["tensor_values"].update({code: graph(p)["tensor_values"].pop("conv2d")}),
        "subgraph": lambda p: graph(p)["nodes"][0]["inputs"][0].update(arg={"as_graph": {"name": "g", "graph": {}}}),
        "object": lambda p: graph(p).update(custom_obj_values={"x": {"name": "x", "class_fqn": "os.system"}}),
        "range": lambda p: p["range_constraints"].update({code: {"min_val": 0, "max_val": None}}),
        "type": lambda p: signature(p).update(out_spec=json.dumps([1, {**spec, "type": "os.path"}])),
        "two inputs": lambda p: signature(p).update(in_spec=json.dumps([1, {**spec, "children_spec": [
            {**spec, "children_spec": [{**spec}] * 2}, {**spec, "type": "builtins.dict"}]}])),
    }  # fmt: skip
    for what, alter in alterations.items():
        line = refused(altered(graphs, tmp_path / "net.pt2", alter), graphs)
        assert "nothing of it was run" in line or what == "two inputs", (what, line)
        assert not bait.exists(), what
    with warnings.catch_warnings(), pytest.raises(Exception):  # noqa: B017
        warnings.simplefilter("ignore")
        torch.export.load(str(altered(graphs, tmp_path / "net.pt2", alterations["size"])))
    assert bait.exists(), "the bait works"


def test_guards_of_an_exported_net_are_left_out(graphs, tmp_path):
    bait = tmp_path / "bait"
    guard = f"__import__('os').mkdir({str(bait)!r}) is None"
    file = altered(graphs, tmp_path / "net.pt2", lambda program: program.update(guards_code=[guard]))
    space = load_space("cityscapes19")
    net = open_net(file, target=space, classes=str(graphs / "names.txt")).net
    expected = open_net(graphs / "net.pt2", target=space, classes=str(graphs / "names.txt")).net
    x = torch.randn(1, 3, 20, 30)
    assert torch.equal(net(x), expected(x)) and not bait.exists()


def test_pickles_of_an_exported_net_run_nothing(graphs, tmp_path):
    bait = tmp_path / "bait"
    out = io.BytesIO()
    torch.save(Evil(bait), out)

    def pickled(name, data):
        if name == "data/weights/weight_0":
            return out.getvalue()
        if name == "data/weights/model_weights_config.json":
            config = json.loads(data)
            for facts in config["config"].values():
                facts["use_pickle"] = True
            return json.dumps(config).encode()
        return data

    cases = {
        "sample inputs": lambda name, data: out.getvalue() if name.startswith("data/sample_inputs") else data,
        "weights": pickled,
        "more": lambda name, data: data.replace(b'"path_name": "weight_0"', b'"path_name": "opaque_obj_0"'),
    }
    for what, change in cases.items():
        line = refused(changed(graphs / "net.pt2", tmp_path / "net.pt2", change), graphs)
        assert "nothing of it was run" in line and not bait.exists(), what
    with warnings.catch_warnings(), pytest.raises(Exception):  # noqa: B017
        warnings.simplefilter("ignore")
        torch.export.load(str(changed(graphs / "net.pt2", tmp_path / "net.pt2", cases["sample inputs"])))
    assert bait.exists(), "the bait works"


@pytest.mark.parametrize("name", ["net.ts", "net.pt2"])
def test_files_that_are_cut_or_odd_are_one_line(graphs, tmp_path, name):
    data = (graphs / name).read_bytes()
    for share in (0.0, 0.3, 0.9, 0.999):
        (tmp_path / name).write_bytes(data[: int(len(data) * share)])
        assert "bad-artifact" in refused(tmp_path / name, graphs) or "usage" in refused(tmp_path / name, graphs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of the second entry
        with zipfile.ZipFile(tmp_path / name, "w") as out, zipfile.ZipFile(graphs / name) as archive:
            for info in archive.infolist():
                out.writestr(info.filename, archive.read(info))
            out.writestr(archive.infolist()[0].filename.upper(), b"x")
    assert "two entries of one name" in refused(tmp_path / name, graphs)
    changed(graphs / name, tmp_path / name, lambda name, data: data)
    with zipfile.ZipFile(tmp_path / name, "a", zipfile.ZIP_DEFLATED) as out:
        out.writestr("net/data/bomb", bytes(70 << 20))
    assert (tmp_path / name).stat().st_size < 1 << 20
    assert "far larger than its file" in refused(tmp_path / name, graphs)


def test_an_exported_file_with_more_in_it_is_refused(graphs, tmp_path):
    changed(graphs / "net.pt2", tmp_path / "net.pt2", lambda name, data: data)
    with zipfile.ZipFile(tmp_path / "net.pt2", "a") as out:
        out.writestr("net/data/aotinductor/model/code.so", b"x")
    assert "neither a graph nor weights" in refused(tmp_path / "net.pt2", graphs)
