"""A trained net on disk: weights, what they were trained on, and (in the .pt) all that is needed to go on.

ckpt.pt            `torch.load(weights_only=True)` reads it: {"format", "facts", "weights", "training"}
ckpt.safetensors   the weights alone; the facts as JSON in the header, under "unify"
ckpt.json          the facts

A checkpoint is never unpickled as code: what holds more than tensors and plain values is refused, and nothing of it
runs. torch checks no checksum of its own, so the facts have the BLAKE3 of the weights, which is checked.
"""

from __future__ import annotations

import io
import json
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3
from torch import Tensor, nn

from trainers import tensorfile
from unify import storage
from unify.errors import error

FORMAT = 1
PT, SAFETENSORS, JSON = "ckpt.pt", "ckpt.safetensors", "ckpt.json"
_NAMED = 3  #: of a list of names that goes into a message
_AGAIN = "train again, or take another copy"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A net after `step` steps.

    config: what builds the net (`trainers.models`); "name" and "num_classes" at least. classes: K names. space: the
    JSON form of the label space, with colours. taxonomy: digest of the taxonomy (of several versions with different
    ones, joined by +), and data: of each version it was trained on. method: a key of `trainers.methods.METHODS`.
    training: settings, optimizer, random state ...; empty in a .safetensors. path, file_digest: where it was read
    from, and the BLAKE3 of that file.
    """

    config: dict[str, Any]
    classes: tuple[str, ...]
    space: dict[str, Any]
    taxonomy: str
    data: tuple[str, ...]
    method: str
    step: int
    weights: dict[str, Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    file_digest: str = ""

    def facts(self) -> dict[str, Any]:
        """All but tensors, in plain types."""
        return {
            "format": FORMAT,
            "config": self.config,
            "classes": list(self.classes),
            "space": self.space,
            "taxonomy": self.taxonomy,
            "data": list(self.data),
            "method": self.method,
            "step": self.step,
            "weights": digest_of(self.weights),
        }

    def refuse_other_classes(self, classes: Sequence[str], what: object) -> None:
        """Raises `UnifyError` (bad-artifact) if `what` (a version) has not these classes in this order."""
        if tuple(classes) == self.classes:
            return
        if len(classes) != len(self.classes):
            said = f"answers in {len(self.classes)} classes, and {what} has {len(classes)}"
        else:
            i = next(i for i, pair in enumerate(zip(classes, self.classes, strict=True)) if pair[0] != pair[1])
            said = f"has '{self.classes[i]}' for class {i}, and {what} has '{classes[i]}'"
        raise error("bad-artifact", self.path or "", said, "take the version that it was trained on, or its like")


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """BLAKE3 (hex) of names, types, shapes and bytes, in the order of names."""
    digest = blake3()
    for name, tensor in sorted(weights.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensorfile.raw_bytes(tensor))
    return digest.hexdigest()


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the three files into `folder`, each whole or not at all; ckpt.pt last, as a run goes on from it.

    Raises `UnifyError`: io (74), cannot-create (73).
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()}
    facts = checkpoint.facts()
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    out = io.BytesIO()
    torch.save({"format": FORMAT, "facts": facts, "weights": weights, "training": checkpoint.training}, out)
    storage.make_dirs(folder)
    storage.write_file(folder / SAFETENSORS, tensorfile.dump(weights, {"format": "pt", "unify": json.dumps(facts)}))
    storage.write_file(folder / JSON, (text + "\n").encode())
    storage.write_file(folder / PT, out.getvalue())


def load(path: Path) -> Checkpoint:
    """A .pt or .safetensors that `save` wrote, or the ckpt.pt in the folder `path`.

    Raises:
        UnifyError: not-found (66); bad-artifact (65) for a file that is damaged, no checkpoint, of more than tensors
            and plain values, or with weights that are not finite; not-verified (76) for weights of another digest;
            newer-format (78).
    """
    file = path / PT if path.is_dir() else path
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as e:
        raise error("not-found", file, "is not there", "give the folder that `unify train` wrote, or a ckpt.pt") from e
    except OSError as e:
        raise error("bad-artifact", file, f"cannot be read: {e.strerror}", "check the file") from e
    weights, facts, training = _safetensors(data, file) if file.suffix == ".safetensors" else _pt(data, file)
    try:
        if facts["format"] > FORMAT:
            raise error("newer-format", file, f"its format is {facts['format']}", "update unify to read it")
        found = Checkpoint(
            dict(facts["config"]),
            tuple(map(str, facts["classes"])),
            dict(facts["space"]),
            str(facts["taxonomy"]),
            tuple(map(str, facts["data"])),
            str(facts["method"]),
            int(facts["step"]),
            weights,
            dict(training),
            file,
            blake3(data).hexdigest(),
        )
        expected = facts["weights"]
    except (KeyError, TypeError, ValueError) as e:
        raise error(
            "bad-artifact", file, f"is no checkpoint of unify ({e!r})", "give one that `unify train` wrote"
        ) from e
    if digest_of(weights) != expected:
        raise error("not-verified", file, "its weights are not those that were saved", _AGAIN)
    refuse_not_finite(weights, file)
    return found


def refuse_not_finite(weights: Mapping[str, Tensor], file: object) -> None:
    """Raises `UnifyError` (bad-artifact) naming tensors with NaN or infinity."""
    bad = [name for name, tensor in weights.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        named = ", ".join(bad[:_NAMED]) + (f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else "")
        what = f"has weights that are NaN or infinite: {named}"
        raise error("bad-artifact", file, what, "take an earlier checkpoint, or train with a lower learning rate")


def _pt(data: bytes, file: Path) -> tuple[dict[str, Tensor], Any, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are not torch's: what follows says it better
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        if "Unsupported" in str(e) or "GLOBAL" in str(e):
            what = "holds more than tensors and plain values; nothing of it was run"
            raise error("bad-artifact", file, what, "save only weights, or give a .safetensors") from None
        raise error("bad-artifact", file, "is damaged or no checkpoint", _AGAIN) from None
    except Exception as e:  # torch raises RuntimeError, EOFError, KeyError, ... for what is cut or no checkpoint
        raise error("bad-artifact", file, f"is damaged or no checkpoint ({type(e).__name__})", _AGAIN) from None
    try:
        weights, facts, training = found["weights"], found["facts"], found["training"]
        facts["format"]
    except (KeyError, TypeError, IndexError) as e:
        raise error(
            "bad-artifact", file, f"is no checkpoint of unify ({e!r})", "give one that `unify train` wrote"
        ) from e
    return _tensors(weights, file), facts, training


def _safetensors(data: bytes, file: Path) -> tuple[dict[str, Tensor], Any, Any]:
    try:
        weights, metadata = tensorfile.parse(data)
        facts = json.loads(metadata["unify"])
    except (KeyError, TypeError, ValueError) as e:
        raise error("bad-artifact", file, f"is damaged or no checkpoint of unify ({e})", _AGAIN) from e
    return weights, facts, {}


def _tensors(weights: Any, file: Path) -> dict[str, Tensor]:
    if not isinstance(weights, Mapping) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise error("bad-artifact", file, "its weights are no table of tensors", "give one that `unify train` wrote")
    return {str(name): tensor for name, tensor in weights.items()}


def net_of(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> nn.Module:
    """The net, with its weights, in eval mode.

    Raises `UnifyError` (bad-artifact) if the weights are not those of the net that `config` describes.
    """
    from trainers import models

    config = {k: v for k, v in checkpoint.config.items() if k != "weights"}  # those are here
    if config.get("num_classes") != len(checkpoint.classes):
        what = f"its net has {config.get('num_classes')} outputs for {len(checkpoint.classes)} classes"
        raise error("bad-artifact", checkpoint.path or "", what, _AGAIN)
    try:
        net: nn.Module = models.build(**config)
    except TypeError as e:
        raise error("bad-artifact", checkpoint.path or "", f"its net is not known here ({e})", "update unify") from e
    put_weights(net, checkpoint)
    return net.to(device).eval()


def put_weights(net: nn.Module, checkpoint: Checkpoint) -> None:
    """Raises `UnifyError` (bad-artifact), with every kind of difference, if they do not fit."""
    own, given = net.state_dict(), checkpoint.weights
    faults = [
        f"{what} {', '.join(names[:_NAMED])}" + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        for what, names in (
            ("it lacks", [n for n in own if n not in given]),
            ("it has besides", [n for n in given if n not in own]),
            ("of other shapes are", [n for n in own if n in given and own[n].shape != given[n].shape]),
        )
        if names
    ]
    if faults:
        what = f"its weights are not those of {checkpoint.config.get('name')}: {'; '.join(faults)}"
        raise error("bad-artifact", checkpoint.path or "", what, "take the model and the classes it was trained with")
    net.load_state_dict(given)
