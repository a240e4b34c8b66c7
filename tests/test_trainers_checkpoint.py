"""Checkpoints: what was saved comes back, others can read it, and nothing bad is loaded or run."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from trainers import checkpoint, tensorfile  # noqa: E402
from trainers.checkpoint import Checkpoint  # noqa: E402
from unify import storage  # noqa: E402
from unify.errors import UnifyError  # noqa: E402

from . import nets  # noqa: E402

CLASSES = ("road", "sky", "rider")
SPACE = {
    "name": "three",
    "title": "",
    "reference": "",
    "void": 255,
    "classes": [{"id": i, "name": name, "color": [i, 0, 9]} for i, name in enumerate(CLASSES)],
}


@pytest.fixture(autouse=True)
def tiny_nets(monkeypatch):
    nets.install(monkeypatch.setitem)


def made(**changes) -> Checkpoint:
    torch.manual_seed(1)
    net = nets.build("cosine", len(CLASSES))
    training = {"losses": torch.arange(3.0), "settings": {"lr": 0.1, "flip": True}}
    whole = Checkpoint(net.config, CLASSES, SPACE, "taxonomy", ("data",), "ce", 7, dict(net.state_dict()), training)
    return dataclasses.replace(whole, **changes)


@pytest.fixture
def saved(tmp_path) -> Path:
    checkpoint.save(made(), tmp_path)
    return tmp_path


def fault(path: Path) -> str:
    with pytest.raises(UnifyError) as caught:
        checkpoint.load(path)
    (line,) = str(caught.value).splitlines()
    return line


# --- There and back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ckpt.pt", "ckpt.safetensors", "."])
def test_what_was_saved_comes_back(saved, name):
    found, expected = checkpoint.load(saved / name), made()
    assert found.facts() == expected.facts() == json.loads((saved / "ckpt.json").read_text())
    assert all(torch.equal(found.weights[key], value) for key, value in expected.weights.items())
    assert found.file_digest == storage.hash_file(found.path)[1]
    training = found.training
    assert training == {} if name.endswith("safetensors") else training["losses"].tolist() == [0, 1, 2]
    net = checkpoint.net_of(found)
    assert not net.training and torch.equal(net.head.weight, expected.weights["head.weight"])


def test_plain_torch_reads_it(saved):
    found = torch.load(saved / "ckpt.pt", weights_only=True)
    assert found["facts"]["classes"] == list(CLASSES) and "head.weight" in found["weights"]


TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "half": torch.tensor([1.5, -2], dtype=torch.bfloat16),
    "none": torch.empty(0, 4),
    "one": torch.tensor(5, dtype=torch.int64),
    "odd": torch.tensor([True, False, True]),
    "view": torch.arange(6, dtype=torch.int32).reshape(2, 3).T,
}


def test_safetensors_are_those_of_the_library():
    library = pytest.importorskip("safetensors.torch")
    ours = tensorfile.dump(TENSORS, {"who": "unify"})
    theirs = library.load(ours)
    assert theirs.keys() == TENSORS.keys()
    assert all(torch.equal(theirs[k], v) and theirs[k].dtype == v.dtype for k, v in TENSORS.items())
    contiguous = {k: v.contiguous() for k, v in TENSORS.items()}
    read, metadata = tensorfile.parse(library.save(contiguous, {"who": "them"}))
    assert metadata == {"who": "them"} and all(torch.equal(read[k], v) for k, v in TENSORS.items())


def test_safetensors_by_hand():
    """Byte for byte, from the description of the format."""
    data = tensorfile.dump({"w": torch.tensor([1.0, 2.0])}, {})
    size = int.from_bytes(data[:8], "little")
    assert json.loads(data[8 : 8 + size]) == {
        "__metadata__": {}, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    }  # fmt: skip
    assert data[8 + size :] == bytes.fromhex("0000803f00000040") and size % 8 == 0
    read, _ = tensorfile.parse(tensorfile.dump(TENSORS, {}))
    assert all(torch.equal(read[k], v) and read[k].dtype == v.dtype for k, v in TENSORS.items())


@pytest.mark.parametrize("facts", [
    {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
    {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]},
    {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
    {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
    {"dtype": "X1", "shape": [2], "data_offsets": [0, 8]},
    {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
])  # fmt: skip
def test_headers_that_lie_are_refused(facts):
    head = json.dumps({"w": facts}).encode()
    with pytest.raises(ValueError):
        tensorfile.parse(len(head).to_bytes(8, "little") + head + bytes(8))


# --- What is bad --------------------------------------------------------------------------------------------


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def test_code_in_a_pickle_is_not_run(tmp_path):
    """In torch's own file and in a bare pickle; that the bait works is seen by unpickling it."""
    bait = tmp_path / "bait"
    torch.save({"weights": Evil(bait), "facts": {}, "training": {}}, tmp_path / "evil.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Evil(bait)))
    for name in ("evil.pt", "bare.pt"):
        assert "nothing of it was run" in fault(tmp_path / name)
        assert not bait.exists()
    pickle.loads((tmp_path / "bare.pt").read_bytes())
    assert bait.exists()


@pytest.mark.parametrize("name", ["ckpt.pt", "ckpt.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_is_one_line(saved, name, share):
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[: int(len(data) * share)])
    assert "bad-artifact" in fault(saved / name) and "damaged" in fault(saved / name)


@pytest.mark.parametrize("name", ["ckpt.pt", "ckpt.safetensors"])
def test_a_changed_weight_is_noticed(saved, name):
    data = bytearray((saved / name).read_bytes())
    at = data.find(tensorfile.raw_bytes(made().weights["head.weight"]))
    assert at > 0
    data[at] ^= 1
    (saved / name).write_bytes(data)
    line = fault(saved / name)
    assert "not-verified" in line or "damaged" in line


@pytest.mark.parametrize("name", ["ckpt.pt", "ckpt.safetensors"])
def test_weights_that_are_not_numbers(tmp_path, name):
    whole = made()
    whole.weights["head.weight"] = whole.weights["head.weight"].clone()
    whole.weights["head.weight"][0, 0] = float("nan")
    checkpoint.save(whole, tmp_path)
    assert "NaN" in fault(tmp_path / name) and "head.weight" in fault(tmp_path / name)


def test_other_classes(saved):
    found = checkpoint.load(saved)
    found.refuse_other_classes(CLASSES, "it")
    for classes, what in (
        (CLASSES[:2], "answers in 3 classes, and it has 2"),
        (("road", "rider", "sky"), "has 'sky' for class 1, and it has 'rider'"),
    ):
        with pytest.raises(UnifyError) as caught:
            found.refuse_other_classes(classes, "it")
        assert what in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"config": {"name": "cosine", "num_classes": 4}}, "its net has 4 outputs for 3 classes"),
        ({"config": {"name": "plain", "num_classes": 3}}, "it lacks head.bias"),
        ({"config": {"name": "cosine", "num_classes": 3, "horns": 2}}, "its net is not known here"),
        ({"weights": {"head.weight": torch.zeros(9, 9)}}, "of other shapes are head.weight"),
    ],
)
def test_a_net_that_is_another(tmp_path, changes, what):
    checkpoint.save(made(**changes), tmp_path)
    with pytest.raises(UnifyError) as caught:
        checkpoint.net_of(checkpoint.load(tmp_path))
    assert what in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_what_is_no_checkpoint(tmp_path):
    assert "not-found" in fault(tmp_path / "none.pt") and "not-found" in fault(tmp_path)
    torch.save(made().weights, tmp_path / "weights.pt")
    assert "is no checkpoint of unify" in fault(tmp_path / "weights.pt")
    torch.save({"weights": 1, "facts": {"format": 1}, "training": {}}, tmp_path / "odd.pt")
    assert "no table of tensors" in fault(tmp_path / "odd.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    assert "is no checkpoint" in fault(tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("hello")
    assert "damaged or no checkpoint" in fault(tmp_path / "text.pt")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as file:
        file.writestr("a", "b")
    assert "damaged or no checkpoint" in fault(tmp_path / "zip.pt")
    (tmp_path / "other.safetensors").write_bytes(tensorfile.dump(made().weights, {}))
    assert "no checkpoint of unify" in fault(tmp_path / "other.safetensors")


def test_a_newer_format(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    checkpoint.save(made(), tmp_path)
    monkeypatch.undo()
    assert "newer-format" in fault(tmp_path / "ckpt.pt") and "newer-format" in fault(tmp_path / "ckpt.safetensors")


def test_no_half_of_a_checkpoint_is_left(saved, monkeypatch):
    """Whatever write fails, ckpt.pt is the old one or the new one."""
    real, calls = storage._do, 0
    for failing in range(1, 60):
        calls, refused = 0, ""

        def do(operation, path, call, *args, failing=failing):
            nonlocal calls, refused
            calls += 1
            if calls == failing:
                refused = operation
                raise UnifyError(storage.refused(operation, path, OSError(28, "full")).problems[0])
            return real(operation, path, call, *args)

        monkeypatch.setattr(storage, "_do", do)
        try:
            checkpoint.save(made(step=8), saved)
        except UnifyError:
            assert checkpoint.load(saved).step in (7, 8)
            assert checkpoint.load(saved / "ckpt.safetensors").step in (7, 8)
            assert not list(saved.glob(".*.tmp"))
        else:
            break
    else:
        raise AssertionError("it never succeeds")
    assert failing > 10 and checkpoint.load(saved).step == 8
