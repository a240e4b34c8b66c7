"""Nets of other people, used as our own checkpoints are: to evaluate, and for relations, influences and robustness.

a folder of transformers    config.json with id2label, *.safetensors; preprocessor_config.json for its colours
TorchScript, torch.export   a file, and the names of its classes (`trainers.graphfiles`); takes RGB of which ImageNet's
                            mean is 0 and its standard deviation 1

No code comes with them: pickled weights are refused, a repository's own Python is not run, and nothing is fetched.
A net answers with a tensor of logits (B, K, h, w), or something with such a "logits" or "out"; they are brought to
the size of the image. Their probabilities are a softmax, whatever they were trained with.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from blake3 import blake3
from torch import Tensor, nn

from trainers import checkpoint as files
from trainers import graphfiles
from trainers.augment import MEAN, STD
from trainers.checkpoint import Checkpoint
from unify import storage
from unify.classlists import read_names
from unify.errors import UnifyError, error
from unify.spaces import LabelClass, LabelSpace, find_files, load_space, parse_space, space_names

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.projection import Projection

METHOD = "foreign"
NEVER = -1e4  #: a logit of which all probabilities are 0, and sums still numbers
_CONFIG, _COLORS = "config.json", "preprocessor_config.json"


@dataclass(frozen=True, slots=True)
class Opened:
    """A net in eval mode, what is known of it, its label space, and what makes probabilities of its logits."""

    checkpoint: Checkpoint
    net: nn.Module
    space: LabelSpace
    activation: str

    @property
    def is_foreign(self) -> bool:
        return self.checkpoint.method == METHOD


def is_foreign(path: Path) -> bool:
    """Whether `open_net` takes it for a net of other people."""
    if path.is_dir():
        return (path / _CONFIG).is_file() and not (path / files.PT).is_file()
    return path.suffix == ".pt2" or graphfiles.kind_of(path) is not None


def open_net(
    path: Path, *, target: LabelSpace, classes: str | None = None, device: torch.device | str = "cpu"
) -> Opened:
    """The net at `path`: a checkpoint of our own, or of other people.

    Args:
        target: the space that it is for: a net with the names of its classes, in their order, is of that space, else
            of the known space of which that is so, else of one of its own.
        classes: of a net of other people: a file of the names of its classes (`unify.classlists.read_names`), or the
            name of a label space. Without it a folder of transformers says them itself.

    Raises:
        UnifyError: what `checkpoint.load` and `net_of` raise; usage (2) for names that are missing or not due, and
            packages that are not installed; bad-artifact (65) for what cannot be read, is not finite, or holds code;
            bad-space (78) for names of classes that are odd.
    """
    device = torch.device(device)
    config: dict[str, Any]
    if not is_foreign(path):
        if classes is not None:
            what = "is for a net of other people, and this is none (a folder of transformers, TorchScript, .pt2)"
            raise error("usage", "--classes", what, "leave it out: checkpoints of unify know their classes")
        loaded = files.load(path)
        from trainers.methods import method_named

        ours = parse_space(loaded.space, str(loaded.path))
        return Opened(loaded, files.net_of(loaded, device), ours, method_named(loaded.method).activation)
    space = None if classes is None else _named(classes, target, path)
    if path.is_dir():
        inner, labels, digest, colors = _transformers(path, space is None, device)
        space = space or _space_of(labels, target, path)
        config = {"name": "transformers"}
    else:
        if space is None:
            fix = "give a file of names, a line each, or the name of a label space: --classes names.txt"
            raise error("usage", path, "does not say what its classes are", fix)
        data, kind = _bytes(path), graphfiles.kind_of(path)
        if kind is None:
            raise error(
                "bad-artifact", path, "is no file of torch.export that is read here", "write it with torch.export.save"
            )
        inner, digest, colors = graphfiles.load_graph(data, kind, path, device), blake3(data).hexdigest(), None
        config = {"name": kind}
    files.refuse_not_finite(inner.state_dict(), path)
    size = len(space)
    net = Foreign(inner, size, path, colors).to(device)
    config["num_classes"] = size
    facts = Checkpoint(config, space.names, _plain(space), "", (), METHOD, 0, {}, {}, path, digest)
    return Opened(facts, net, space, "softmax")


def open_for(
    path: Path, artifact: Artifact, *, classes: str | None = None, device: torch.device | str = "cpu"
) -> tuple[Checkpoint, nn.Module]:
    """The net at `path`, answering in the classes of a version: one of other people by the names of its classes.

    Raises:
        UnifyError: what `open_net` raises; bad-artifact (65) for a checkpoint of our own of other classes; usage (2)
            for a net that knows no class of one of the sources.
    """
    space = artifact.taxonomy.space
    opened = open_net(path, classes=classes, target=space, device=device)
    if not opened.is_foreign:
        opened.checkpoint.refuse_other_classes(space.names, f"{artifact.manifest.name} {artifact.manifest.version}")
    elif opened.space.names != space.names:
        return opened.checkpoint, Projected(opened.net, _by_name(opened.space, artifact, path))
    return opened.checkpoint, opened.net


def _by_name(source: LabelSpace, artifact: Artifact, model: Path) -> Projection:
    from unify.projection import by_name

    taxonomy = artifact.taxonomy
    said = by_name(source, taxonomy.space)
    is_known = np.array([bool(members) for members in said.members.values()])
    known = (taxonomy.null_mask & is_known).any(1)
    strangers = [name for name, is_one in zip(taxonomy.sources, known, strict=True) if not is_one]
    if strangers:
        what = f"knows no class of {', '.join(strangers)} by its name"
        raise error("usage", model, what, "name its classes as the version does: --classes names.txt")
    return said


class Foreign(nn.Module):
    """Any net as one of ours: takes images as `trainers.data.normalized` gives them, (B, 3, H, W), and gives logits
    (B, K, H, W).

    colors: (scale, shift, is BGR) from our normalization to that of the net; None where it is the same.
    Raises `UnifyError` (bad-artifact) where the net fails on an image, or answers otherwise.
    """

    scale_c11: Tensor
    shift_c11: Tensor

    def __init__(self, inner: nn.Module, num_classes: int, path: Path, colors: _Colors | None = None) -> None:
        super().__init__()
        self.inner, self.num_classes, self.path, self.colors = inner, num_classes, path, colors
        for name, values in (("scale_c11", colors and colors.scale), ("shift_c11", colors and colors.shift)):
            self.register_buffer(name, torch.tensor(values or (0.0, 0.0, 0.0))[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> Foreign:
        """It is for inference; exported programs have no other mode."""
        self.training = False
        return self

    def forward(self, images_bchw: Tensor) -> Tensor:
        x_bchw = images_bchw
        if self.colors is not None:
            x_bchw = x_bchw * self.scale_c11 + self.shift_c11
            x_bchw = x_bchw.flip(1) if self.colors.is_bgr else x_bchw
        size_hw = images_bchw.shape[2:]
        try:
            found = self.inner(x_bchw)
        except Exception as e:  # of a graph that knows one size only, of memory, ...
            if len(images_bchw) > 1:  # or one image only
                return torch.cat([self(image_chw[None]) for image_chw in images_bchw])
            first = (str(e).strip().splitlines() or [type(e).__name__])[0]
            fix = "give the size that it was made for: --window, --short-side"
            raise self._fault(f"fails on {size_hw[1]}x{size_hw[0]} pixels ({first[:160]})", fix) from e
        logits_bkhw = _logits_in(found)
        if logits_bkhw is None or logits_bkhw.ndim != 4 or not logits_bkhw.is_floating_point():
            raise self._fault("does not answer with logits of classes, places and images", "save one that does")
        if logits_bkhw.shape[1] != self.num_classes:
            what = f"answers in {logits_bkhw.shape[1]} classes, and {self.num_classes} are named"
            raise self._fault(what, "name all of its classes, in its order")
        if logits_bkhw.isnan().any():
            raise self._fault("answers NaN", "take another checkpoint")
        if logits_bkhw.shape[2:] == size_hw:
            return logits_bkhw
        return F.interpolate(logits_bkhw.float(), size_hw, mode="bilinear", align_corners=False)

    def _fault(self, what: str, fix: str) -> UnifyError:
        return error("bad-artifact", self.path, what, fix)


def _logits_in(found: Any) -> Tensor | None:
    """In a tensor, {"logits": ...}, {"out": ...}, an object with .logits, or the first of several."""
    if isinstance(found, Mapping):
        found = found.get("logits", found.get("out"))
    elif isinstance(found, Sequence) and found:
        found = found[0]
    elif not isinstance(found, Tensor):
        found = getattr(found, "logits", None)
    return found if isinstance(found, Tensor) else None


class Projected(nn.Module):
    """A net that answers in another space: a class has the greatest logit of its members, `NEVER` without any."""

    def __init__(self, net: nn.Module, projection: Projection) -> None:
        super().__init__()
        self.net = net
        self.members = [list(column.nonzero()[0]) for column in projection.matrix().T]

    def forward(self, images_bchw: Tensor) -> Tensor:
        logits_bkhw = self.net(images_bchw).float()
        never_bhw = torch.full_like(logits_bkhw[:, 0], NEVER)
        return torch.stack([logits_bkhw[:, m].amax(1) if m else never_bhw for m in self.members], 1)


# --- transformers ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Colors:
    """What makes a net's colours of ours: x * scale + shift, then the channels turned round if `is_bgr`."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    is_bgr: bool


def _transformers(
    folder: Path, says_classes: bool, device: torch.device
) -> tuple[nn.Module, tuple[str, ...], str, _Colors | None]:
    """The net, its classes (none unless it has to say them), the BLAKE3 of its weights, its colours."""
    config = _json(folder / _CONFIG)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickled = [p.name for p in sorted(folder.glob("*.bin"))]
        what = f"has pickled weights only ({pickled[0]})" if pickled else "has no model.safetensors"
        raise error("bad-artifact", folder, what, "save it with save_pretrained, which writes safetensors")
    labels = _labels(config.get("id2label"), folder / _CONFIG) if says_classes else ()
    library = _library()
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    try:
        net, loading = library.AutoModelForSemanticSegmentation.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as e:  # the library has many
        first = (str(e).strip().splitlines() or [""])[0]
        what = f"transformers cannot load it ({type(e).__name__}: {first[:200]})"
        fix = "give a net for semantic segmentation, saved by save_pretrained"
        raise error("bad-artifact", folder, what, fix) from e
    if missing := sorted(map(str, loading["missing_keys"])):  # which it would leave at random
        what = f"lacks {len(missing)} of the weights that its config.json asks for, such as {missing[0]}"
        raise error("bad-artifact", folder, what, "give a net that was trained to the end for segmentation")
    digest = blake3()
    for file in weights:
        digest.update(storage.hash_file(file)[1].encode())
    whole = storage.hash_file(weights[0])[1] if len(weights) == 1 else digest.hexdigest()
    return net.to(device).eval(), labels, whole, _colors(folder)


def _library() -> Any:
    try:
        library = importlib.import_module("transformers")
        importlib.import_module("transformers.utils.logging")
    except ImportError as e:
        what = f"a net of transformers needs that package, which cannot be imported ({e})"
        raise error("usage", "", what, "pip install transformers") from e
    return library


def _labels(id2label: Any, file: Path) -> tuple[str, ...]:
    if not isinstance(id2label, dict) or not all(isinstance(v, str) for v in id2label.values()):
        raise error("bad-artifact", file, "has no id2label", "name its classes there, or give --classes")
    if not id2label or set(id2label) != {str(i) for i in range(len(id2label))}:
        raise error("bad-artifact", file, f"the ids of id2label are not 0 to {len(id2label) - 1}", "give --classes")
    return tuple(id2label[str(i)] for i in range(len(id2label)))


def _colors(folder: Path) -> _Colors | None:
    """Of preprocessor_config.json; None without one, and where they are ours."""
    if not (folder / _COLORS).is_file():
        return None
    said = _json(folder / _COLORS)
    try:
        factor = float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0
        with_mean = said.get("do_normalize", True)
        means = [float(v) for v in said.get("image_mean", [v / 255 for v in MEAN])] if with_mean else [0.0] * 3
        stds = [float(v) for v in said.get("image_std", [v / 255 for v in STD])] if with_mean else [1.0] * 3
        rows = list(zip(MEAN, STD, means, stds, strict=True))
        scale = tuple(ours * factor / std for _, ours, _, std in rows)
        shift = tuple((ours * factor - mean) / std for ours, _, mean, std in rows)
    except (TypeError, ValueError, ZeroDivisionError) as e:
        raise error("bad-artifact", folder / _COLORS, f"its colours are odd ({e})", "correct the file") from e
    found = _Colors(scale, shift, bool(said.get("do_flip_channel_order", False)))
    is_ours = all(abs(a - 1) < 1e-6 for a in scale) and all(abs(b) < 1e-6 for b in shift) and not found.is_bgr
    return None if is_ours else found


# --- Files and names ------------------------------------------------------------------------------------------


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as e:
        raise error("not-found", file, "is not there", "give a checkpoint") from e
    except OSError as e:
        raise error("bad-artifact", file, f"cannot be read: {e.strerror}", "check the file") from e


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(file))
    except ValueError as e:
        raise error("bad-artifact", file, f"is not JSON: {e}", "take another copy") from e
    if not isinstance(found, dict):
        raise error("bad-artifact", file, "is no JSON object", "take another copy")
    return found


def _named(classes: str, target: LabelSpace, path: Path) -> LabelSpace:
    """The label space of a file of names, or of that name."""
    if not Path(classes).is_file() and classes in find_files("spaces/*.yaml"):
        return load_space(classes)
    return _space_of(read_names(Path(classes)), target, path)


def _space_of(names: tuple[str, ...], target: LabelSpace, path: Path) -> LabelSpace:
    """The space of the data, or one that is known, if it has these names in this order; else one of their own."""
    if names == target.names:
        return target
    for name in space_names():
        space = load_space(name)
        if space.names == names and space.is_target:
            return space
    color = {c.name: c.color for c in target.classes}
    classes = tuple(LabelClass(i, n, color.get(n) or _color_of(n)) for i, n in enumerate(names))
    return LabelSpace(METHOD, classes, origin=str(path))


def _color_of(name: str) -> tuple[int, int, int]:
    red, green, blue = blake3(name.encode()).digest(length=3)
    return red, green, blue


def _plain(space: LabelSpace) -> dict[str, Any]:
    classes = [{"id": c.id, "name": c.name, "color": list(c.color)} for c in space.classes]
    return {"name": space.name, "title": "", "reference": "", "void": space.void, "classes": classes}
