"""What is wrong with checkpoints, data and runs, at the command line: one line each, its exit code, no traceback."""

from __future__ import annotations

import io
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from trainers import checkpoint  # noqa: E402
from trainers.checkpoint import Checkpoint  # noqa: E402
from unify.build import build  # noqa: E402
from unify.cli import run  # noqa: E402
from unify.sample import write_streets  # noqa: E402

from . import nets  # noqa: E402
from .test_trainers_checkpoint import Evil  # noqa: E402
from .worlds import plan_of  # noqa: E402


@pytest.fixture(autouse=True)
def tiny_nets(monkeypatch):
    nets.install(monkeypatch.setitem)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C", "I", "V"], images=2, seed=1, size=0.06)
    return folder


@pytest.fixture(scope="module")
def artifact(raw):
    return build(plan_of(raw / "raw", "C,I"), raw / "out").artifact


@pytest.fixture(scope="module")
def camvid(raw):
    return build(plan_of(raw / "raw", "V", "camvid11"), raw / "out").artifact


def saved(artifact, folder: Path, classes: int | None = None, nan: bool = False) -> Path:
    taxonomy = artifact.taxonomy
    names = taxonomy.space.names[:classes]
    torch.manual_seed(5)
    net = nets.build("cosine", len(names))
    if nan:
        with torch.no_grad():
            net.head.weight[0, 0] = float("nan")
    facts = (net.config, names, taxonomy.to_json()["space"], taxonomy.digest(), ("x",), "null-bce", 1)
    checkpoint.save(Checkpoint(*facts, dict(net.state_dict())), folder)
    return folder / "ckpt.pt"


def commands(path: Path, data) -> list[list[str]]:
    """All that read a checkpoint of the data."""
    given = ["--data", str(getattr(data, "path", data))]
    return [
        ["evaluate", str(path), *given],
        ["relations", "--from-model", str(path), *given],
        ["influence", "--from-model", str(path), *given],
    ]


def train(data, out: Path, *more: str, method: str = "null-bce") -> list[str]:
    given = ["--data", str(getattr(data, "path", data)), "--out", str(out), "--model", "cosine", "--batch", "2"]
    return ["train", method, *given, "--crop", "32", "--steps", "3", "--set", "threads=1", *more]


def line_of(command: list[str], code: int, capsys) -> str:
    assert run(command) == code, (command, capsys.readouterr())
    said = capsys.readouterr()
    (line,) = [text for text in said.err.splitlines() if not text.startswith(("train: ", "evaluate: ", "sweep: "))]
    assert line.startswith("unify: ") and " — " in line and "Traceback" not in said.out + said.err, line
    return line


def test_a_checkpoint_of_another_class_count(artifact, tmp_path, capsys):
    for command in commands(saved(artifact, tmp_path / "r", classes=27), artifact):
        line = line_of(command, 65, capsys)
        assert "bad-artifact" in line and "28" in line and "27" in line


def test_weights_that_are_nan(artifact, tmp_path, capsys):
    path = saved(artifact, tmp_path / "r", nan=True)
    for command in [*commands(path, artifact), train(artifact, tmp_path / "r", "--resume")]:
        assert "weights that are NaN or infinite: head.weight" in line_of(command, 65, capsys)


@pytest.mark.parametrize("name", ["ckpt.pt", "net.ts", "net.pt2", "net.pth"])
@pytest.mark.parametrize("how", ["torch", "bare"])
def test_a_pickle_with_code_in_it_runs_nothing(artifact, tmp_path, capsys, name, how):
    bait, path = tmp_path / "bait", tmp_path / name
    evil = {"weights": Evil(bait), "facts": {}, "training": {}}
    if how == "torch":
        torch.save(evil, path)
    else:
        path.write_bytes(pickle.dumps(evil))
    every = commands(path, artifact)
    if name == "ckpt.pt":
        every.append(train(artifact, tmp_path, "--resume"))
    for command in every:
        line = line_of(command, 2 if path.suffix == ".pt2" else 65, capsys)
        assert "nothing of it was run" in line or "does not say what its classes are" in line
        assert not bait.exists()
    if path.suffix == ".pt2":
        for command in every[:2]:
            line = line_of([*command, "--classes", "cityscapes19"], 65, capsys)
            assert "is no file of torch.export" in line and not bait.exists()
    pickle.loads(pickle.dumps(evil))
    assert bait.exists(), "the bait works"


def test_an_artifact_of_another_taxonomy(artifact, camvid, tmp_path, capsys):
    """Relations and influences are of the net's own classes; a score is projected, and says what it leaves out."""
    path = saved(artifact, tmp_path / "r")
    for command in commands(path, camvid)[1:]:
        line = line_of(command, 65, capsys)
        assert "answers in 28 classes" in line and "camvid11" in line and "has 11" in line
    assert run(train(artifact, tmp_path / "run")) == 0
    capsys.readouterr()
    assert "answers in 28 classes, and the data has 11" in line_of(
        train(camvid, tmp_path / "run", "--resume"), 65, capsys
    )
    mixed = [*train(artifact, tmp_path / "other"), "--data", str(camvid.path)]
    assert "camvid11" in line_of(mixed, 2, capsys)


def mislabelled(artifact, folder: Path, code: int) -> Path:
    """A copy in which a pixel of every label is `code`; pages and files are whole."""
    shutil.copytree(artifact.path, folder)
    for file in (folder / "data").rglob("*.parquet"):
        table = pq.read_table(file, partitioning=None)
        rows = table.to_pylist()
        for row in rows:
            label = np.array(Image.open(io.BytesIO(row["label"]["bytes"])))
            label[label.shape[0] // 3 : label.shape[0] // 2] = code
            out = io.BytesIO()
            Image.fromarray(label).save(out, "PNG")
            row["label"]["bytes"] = out.getvalue()
        pq.write_table(type(table).from_pylist(rows, table.schema), file, write_page_checksum=True)
    return folder


@pytest.mark.parametrize("method", ["ce", "bce", "null-bce"])
def test_a_label_out_of_range(artifact, tmp_path, capsys, method):
    data = mislabelled(artifact, tmp_path / "v", 77)
    path = saved(artifact, tmp_path / "r")
    every = [train(data, tmp_path / "run", method=method)]
    if method == "ce":
        every += commands(path, data)[:2]
    for command in every:
        line = line_of(command, 65, capsys)
        assert "unknown-id" in line and ("77" in line or "not 0..27" in line), line


def test_a_loss_that_is_nan(artifact, tmp_path, capsys):
    out = tmp_path / "run"
    for method in ("ce", "null-bce"):
        more = ("--set", "optimizer=sgd", "--set", "lr=1e38", "--set", "evaluate_split=none")
        command = train(artifact, out / method, *more, method=method)
        command[command.index("cosine")] = "plain"
        line = line_of(command, 78, capsys)
        assert "the loss is nan" in line.lower() or "the loss is inf" in line.lower()
        assert "lower the learning rate" in line and "images " in line


def test_files_that_are_no_checkpoints(artifact, tmp_path, capsys):
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").write_bytes(b"")
    for name, code in (("text.pt", 65), ("empty.pt", 65), ("none.pt", 66), (".", 66)):
        for command in commands(tmp_path / name, artifact):
            line_of(command, code, capsys)
    for command in commands(Path(os.devnull), artifact):
        line_of(command, 65, capsys)
