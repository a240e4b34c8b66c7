"""Nets of other people score and teach as ours do, and nothing that comes with them is run."""

from __future__ import annotations

import json
import os
import pickle
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from trainers import evaluate, foreign, sweep, tensorfile  # noqa: E402
from trainers.data import normalized  # noqa: E402
from trainers.foreign import open_net  # noqa: E402
from trainers.views import Views  # noqa: E402
from unify.cli import run  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.relations.evidence import UNIT  # noqa: E402
from unify.spaces import load_space, space_names  # noqa: E402

from . import nets  # noqa: E402
from .test_trainers_checkpoint import Evil  # noqa: E402
from .test_trainers_sweep import saved  # noqa: E402
from .worlds import tiny_streets  # noqa: E402


@pytest.fixture(autouse=True)
def tiny_nets(monkeypatch):
    nets.install(monkeypatch.setitem)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return tiny_streets(tmp_path_factory.mktemp("streets"), images=2)


class Bare(nn.Module):
    """A net as others have them: logits at stride 4, in a dictionary if `key` says so; classes in any order."""

    def __init__(self, net: nn.Module, order: list[int] | None = None) -> None:
        super().__init__()
        self.backbone, self.head = net.backbone, net.head
        self.order = torch.arange(net.head.out_channels) if order is None else torch.tensor(order)

    def forward(self, images):
        return self.head(self.backbone(images))[:, self.order]


def own(artifact, folder: Path) -> Path:
    """A checkpoint of ours, without a cosine classifier."""
    return saved(artifact, folder, "plain")


def bare(path: Path, order: list[int] | None = None) -> Bare:
    from trainers import checkpoint

    return Bare(checkpoint.net_of(checkpoint.load(path)), order).eval()


def written(net: nn.Module, file: Path, side: int | None = None) -> Path:
    """`side`: the only one that an exported net takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        if file.suffix != ".pt2":
            torch.jit.save(torch.jit.script(net), str(file))
            return file
        dims = {i + 2: torch.export.Dim(name, min=8, max=4096) for i, name in enumerate("hw")}
        size = (32, 48) if side is None else (side, side)
        shapes = (dims,) if side is None else None
        program = torch.export.export(net, (torch.randn(1, 3, *size),), dynamic_shapes=shapes)
        torch.export.save(program, str(file))
    return file


def names_file(names, folder: Path) -> str:
    (folder / "names.txt").write_text("\n".join(names) + "\n")
    return str(folder / "names.txt")


def fault(call) -> str:
    with pytest.raises(UnifyError) as caught:
        call()
    (line,) = str(caught.value).splitlines()
    return line


# --- The same net in another file -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net.ts", "net.pt", "net.pt2"])
def test_a_graph_scores_and_teaches_as_the_net_that_it_is_of(artifact, tmp_path, name):
    """Bit for bit: the confusion matrix, and the sums of a sweep."""
    path = own(artifact, tmp_path / "own")
    theirs = written(bare(path), tmp_path / name)
    space = artifact.taxonomy.space
    names = names_file(space.names, tmp_path)
    found, expected = evaluate.evaluate(theirs, artifact, classes=names), evaluate.evaluate(path, artifact)
    assert found["confusion"] == expected["confusion"] and found["miou"] == expected["miou"] is not None
    assert found["method"] == "foreign" and found["without"] == []
    one, other = sweep.evidence_of(theirs, artifact, classes=names), sweep.evidence_of(path, artifact)
    assert np.array_equal(one.scores, other.scores) and np.array_equal(one.answers, other.answers)
    assert one.scores.any() and one.made_from["data"] == artifact.digest
    opened = open_net(theirs, target=space, classes=names)
    assert opened.space == space and opened.activation == "softmax" and opened.is_foreign
    assert opened.checkpoint.path == theirs and len(opened.checkpoint.file_digest) == 64
    assert not open_net(path, target=space).is_foreign


def test_classes_are_matched_by_name(artifact, tmp_path):
    """A net whose classes are in another order, and one that knows fewer."""
    path = own(artifact, tmp_path / "own")
    space = artifact.taxonomy.space
    order = np.random.default_rng(0).permutation(len(space)).tolist()
    shuffled = [space.names[k] for k in order]
    theirs, names = written(bare(path, order), tmp_path / "net.ts"), names_file(shuffled, tmp_path)
    expected = evaluate.evaluate(path, artifact)
    assert evaluate.evaluate(theirs, artifact, classes=names)["confusion"] == expected["confusion"]
    one, other = sweep.evidence_of(theirs, artifact, classes=names), sweep.evidence_of(path, artifact)
    assert np.array_equal(one.scores, other.scores) and np.array_equal(one.answers, other.answers)

    kept = [k for k in range(len(space)) if space.names[k] not in ("rider", "autorickshaw")]
    few = written(bare(path, kept), tmp_path / "few.ts")
    names = names_file([space.names[k] for k in kept], tmp_path)
    evidence = sweep.evidence_of(few, artifact, classes=names)
    rider = space.index("rider")
    never = -evidence.pixels.astype(np.int64) * UNIT
    assert np.array_equal(evidence.scores[..., rider], never) and never.any()
    assert not evidence.answers[..., rider].any(), "what the net does not know never lights up"
    found = evaluate.evaluate(few, artifact, classes=names)
    assert found["without"] == ["autorickshaw", "rider"] and found["iou"]["rider"] is None


def test_a_net_of_a_known_space_is_projected_as_that_space(artifact, tmp_path):
    """Its names are those of cityscapes19: the projections of that space hold, and colours are its own."""
    space = artifact.taxonomy.space
    theirs = load_space("cityscapes19")
    path = own(artifact, tmp_path / "own")
    net = written(bare(path, [space.index(name) for name in theirs.names]), tmp_path / "net.ts")
    for classes in ("cityscapes19", names_file(theirs.names, tmp_path)):
        opened = open_net(net, target=space, classes=classes)
        assert opened.space.names == theirs.names and opened.space.name in space_names()
    camvid = load_space("camvid11")
    assert open_net(net, target=camvid, classes="cityscapes19").space == theirs


def test_strangers_are_told(artifact, tmp_path):
    path = own(artifact, tmp_path / "own")
    theirs = written(bare(path, [0, 1]), tmp_path / "net.ts")
    names = names_file(["moon", "sun"], tmp_path)
    assert "no class of union28 has a counterpart" in fault(lambda: evaluate.evaluate(theirs, artifact, classes=names))
    line = fault(lambda: sweep.evidence_of(theirs, artifact, classes=names))
    assert "knows no class of cityscapes, idd by its name" in line


# --- What a net may answer ------------------------------------------------------------------------------------


class Says(nn.Module):
    """Whatever it is given."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return self.answer(images)


def test_logits_are_found_in_what_libraries_return():
    logits = torch.randn(1, 3, 8, 12)
    whole = nn.functional.interpolate(logits, (16, 24), mode="bilinear", align_corners=False)
    for answer in (
        lambda x: logits,
        lambda x: {"out": logits, "aux": None},
        lambda x: {"logits": logits},
        lambda x: (logits, 1),
        lambda x: [logits],
        lambda x: types.SimpleNamespace(logits=logits),
    ):
        assert torch.equal(foreign.Foreign(Says(answer), 3, Path("net"))(torch.randn(1, 3, 16, 24)), whole)


def test_answers_that_are_none():
    def answer(x):
        raise RuntimeError("mat1 and mat2\ncannot be multiplied")

    x = torch.randn(1, 3, 16, 24)
    for made, what in (
        (lambda x: torch.randn(1, 5, 8, 8), "answers in 5 classes, and 3 are named"),
        (lambda x: torch.randn(1, 3), "does not answer with logits"),
        (lambda x: {"masks": 1}, "does not answer with logits"),
        (lambda x: torch.zeros(1, 3, 8, 8, dtype=torch.int64), "does not answer with logits"),
        (lambda x: torch.full((1, 3, 8, 8), float("nan")), "answers NaN"),
        (answer, "fails on 24x16 pixels (mat1 and mat2)"),
    ):
        line = fault(lambda made=made: foreign.Foreign(Says(made), 3, Path("net"))(x))
        assert what in line and "net: " in line


def test_a_graph_of_one_size_is_shown_windows(artifact, tmp_path):
    path = own(artifact, tmp_path / "own")
    names = names_file(artifact.taxonomy.space.names, tmp_path)
    theirs = written(bare(path), tmp_path / "net.pt2", side=32)
    assert "--window" in fault(lambda: evaluate.evaluate(theirs, artifact, classes=names))
    views = Views(window=32)
    found = evaluate.evaluate(theirs, artifact, classes=names, views=views)
    assert found["confusion"] == evaluate.evaluate(path, artifact, views=views)["confusion"]


@pytest.mark.parametrize("name", ["net.ts", "net.pt2"])
def test_weights_that_are_not_numbers(artifact, tmp_path, name):
    net = bare(own(artifact, tmp_path / "own"))
    with torch.no_grad():
        net.head.weight[0, 0] = float("nan")
    theirs = written(net, tmp_path / name)
    line = fault(lambda: open_net(theirs, target=artifact.taxonomy.space, classes="cityscapes19"))
    assert "NaN or infinite: head.weight" in line


def test_names_are_asked_for_and_refused(artifact, tmp_path):
    path = own(artifact, tmp_path / "own")
    space = artifact.taxonomy.space
    theirs = written(bare(path), tmp_path / "net.pt")
    assert "does not say what its classes are" in fault(lambda: open_net(theirs, target=space))
    assert "is for a net of other people" in fault(lambda: open_net(path, target=space, classes="cityscapes19"))
    line = fault(lambda: open_net(theirs, target=space, classes=str(tmp_path / "none.txt")))
    assert "not-found" in line and "none.txt" in line
    line = fault(lambda: evaluate.evaluate(theirs, artifact, classes="cityscapes19"))
    assert "answers in 28 classes, and 19 are named" in line
    (tmp_path / "odd.txt").write_text("road\nsky​\n")
    assert "odd names" in fault(lambda: open_net(theirs, target=space, classes=str(tmp_path / "odd.txt")))


# --- transformers ---------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    """What save_pretrained leaves, of a net that a stand-in of the library makes."""
    net = nn.Conv2d(3, 3, 1)
    target = tmp_path / "hf"
    target.mkdir()
    labels = {str(i): name for i, name in enumerate(("road", "sky", "car"))}
    (target / "config.json").write_text(json.dumps({"model_type": "stand-in", "id2label": labels}))
    (target / "model.safetensors").write_bytes(tensorfile.dump(dict(net.state_dict()), {}))
    return target


@pytest.fixture
def library(monkeypatch):
    """A stand-in of transformers; `missing`: weights that it does not find."""
    missing: list[str] = []

    class Net(nn.Module):
        def __init__(self, weights) -> None:
            super().__init__()
            self.mix = nn.Conv2d(3, 3, 1)
            self.mix.load_state_dict(weights)

        def forward(self, images):
            return types.SimpleNamespace(logits=self.mix(images))

    def from_pretrained(folder, **options):
        assert options == {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False,
                           "output_loading_info": True}  # fmt: skip
        weights, _ = tensorfile.parse((Path(folder) / "model.safetensors").read_bytes())
        return Net(weights), {"missing_keys": set(missing), "mismatched_keys": set()}

    quiet = types.SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None)
    module = types.ModuleType("transformers")
    module.AutoModelForSemanticSegmentation = types.SimpleNamespace(from_pretrained=from_pretrained)
    module.utils = types.SimpleNamespace(logging=quiet)
    monkeypatch.setitem(sys.modules, "transformers", module)
    monkeypatch.setitem(sys.modules, "transformers.utils", module.utils)
    monkeypatch.setitem(sys.modules, "transformers.utils.logging", quiet)
    return missing


def test_a_folder_of_transformers(folder, library):
    space = load_space("cityscapes19")
    opened = open_net(folder, target=space)
    weights, _ = tensorfile.parse((folder / "model.safetensors").read_bytes())
    x = torch.randn(2, 3, 6, 7)
    assert torch.equal(opened.net(x), nn.functional.conv2d(x, weights["weight"], weights["bias"]))
    assert opened.checkpoint.classes == ("road", "sky", "car") and opened.space.names == ("road", "sky", "car")
    assert [c.color for c in opened.space.classes] == [space.classes[space.index(n)].color for n in opened.space.names]
    renamed = open_net(folder, target=space, classes=names_file(("sky", "road", "bus"), folder.parent))
    assert renamed.space.names == ("sky", "road", "bus")


@pytest.mark.parametrize(
    "said",
    [
        {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2]},
        {"do_normalize": False},
        {"do_normalize": False, "do_rescale": False},
        {"do_rescale": True, "rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]},
        {"do_normalize": False, "do_flip_channel_order": True},
        {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    ],
)
def test_colours_are_what_the_folder_says(folder, library, said):
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    image = torch.randint(0, 256, (1, 3, 5, 6), dtype=torch.uint8)
    x = image.float() * (said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1)
    if said.get("do_normalize", True):
        mean, std = (torch.tensor(said[k])[:, None, None] for k in ("image_mean", "image_std"))
        x = (x - mean) / std
    x = x.flip(1) if said.get("do_flip_channel_order") else x
    weights, _ = tensorfile.parse((folder / "model.safetensors").read_bytes())
    expected = nn.functional.conv2d(x, weights["weight"], weights["bias"])
    found = open_net(folder, target=load_space("cityscapes19")).net(normalized(image))
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-4 * float(x.abs().max()))


def test_folders_that_are_wrong(folder, library, tmp_path, monkeypatch):
    space = load_space("cityscapes19")

    def line() -> str:
        return fault(lambda: open_net(folder, target=space))

    library.append("head.weight")
    assert "lacks 1 of the weights" in line() and "head.weight" in line()
    library.clear()
    config = (folder / "config.json").read_text()
    for text, what in (
        ("{", "is not JSON"),
        ("[]", "is no JSON object"),
        ("{}", "has no id2label"),
        ('{"id2label": {"1": "a"}}', "are not 0 to 0"),
        ('{"id2label": {"0": 1}}', "has no id2label"),
    ):
        (folder / "config.json").write_text(text)
        assert what in line()
    (folder / "config.json").write_text(config)
    (folder / "preprocessor_config.json").write_text('{"image_std": [0, 0, 0], "image_mean": [0, 0, 0]}')
    assert "its colours are odd" in line()
    (folder / "preprocessor_config.json").unlink()
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "needs that package" in line() and "pip install transformers" in line()
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors" in line()
    bait = tmp_path / "bait"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(bait)))
    assert "has pickled weights only" in line() and not bait.exists()


def test_a_net_of_the_real_library(artifact, tmp_path):
    """SegFormer at random; and neither code beside it nor a head that is not there gets by."""
    library = pytest.importorskip("transformers")
    torch.manual_seed(0)
    names = artifact.taxonomy.space.names
    sizes = {"depths": [1] * 4, "hidden_sizes": [8, 16, 20, 32], "num_attention_heads": [1, 2, 2, 4]}
    labels = {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}
    config = library.SegformerConfig(**sizes, decoder_hidden_size=16, **labels)
    net, folder = library.SegformerForSemanticSegmentation(config).eval(), tmp_path / "hf"
    net.save_pretrained(folder)
    opened = open_net(folder, target=artifact.taxonomy.space)
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = nn.functional.interpolate(net(x).logits, (64, 96), mode="bilinear", align_corners=False)
        assert torch.allclose(opened.net(x), expected, atol=1e-6) and opened.space.names == names
    assert evaluate.evaluate(folder, artifact)["miou"] is not None
    assert sweep.evidence_of(folder, artifact).scores.any()
    net.segformer.save_pretrained(tmp_path / "headless")
    assert "lacks" in fault(lambda: open_net(tmp_path / "headless", target=artifact.taxonomy.space))
    bait = tmp_path / "bait"
    said = json.loads((folder / "config.json").read_text())
    auto = {"AutoConfig": "code.Config", "AutoModelForSemanticSegmentation": "code.Net"}
    (folder / "config.json").write_text(json.dumps({**said, "model_type": "mine", "auto_map": auto}))
    (folder / "code.py").write_text(f"import os\nos.mkdir({str(bait)!r})\nclass Net: pass\nclass Config: pass\n")
    assert "transformers cannot load it" in fault(lambda: open_net(folder, target=artifact.taxonomy.space))
    assert not bait.exists()


# --- The commands ---------------------------------------------------------------------------------------------


def test_the_commands_take_them(artifact, tmp_path, capsys):
    path = own(artifact, tmp_path / "own")
    theirs = str(written(bare(path), tmp_path / "net.ts"))
    data, names = str(artifact.path), names_file(artifact.taxonomy.space.names, tmp_path)
    assert run(["evaluate", theirs, "--data", data, "--classes", names, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["method"] == "foreign" and found["miou"] is not None
    given = ["relations", "--from-model", theirs, "--data", data]
    assert run([*given, "--classes", names, "-o", str(tmp_path / "relations"), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"path", "edges"}
    for command in (["evaluate", theirs, "--data", data], given):
        assert run(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "does not say what its classes are" in line
    assert run(["relations", "--from-stats", os.devnull, "--classes", names]) == 2
    assert "--classes goes with --from-model" in capsys.readouterr().err
