"""One look of an ensemble at a split: maps of how unsure it is, as a version (`unify.uncertainty_maps`).

Whole images one at a time, in eval mode, each decoded once; what the nets answer is brought to the size of the label.
Members are checkpoints: of different nets, as the paper has it; several of one run, a snapshot ensemble (Huang et al.,
ICLR 2017); or, with `dropout_passes`, one net several times with its dropout at work (MC-dropout: Gal and Ghahramani,
ICML 2016). The mean is over all passes of all members. Answers are taken by a softmax over all classes, whatever a
member was trained with. On a CPU the same bytes each time; on a GPU some operations may round otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from blake3 import blake3
from torch import Tensor, nn

from trainers.checkpoint import Checkpoint, load, net_of
from trainers.data import Sample, Samples, normalized
from trainers.evaluate import device_named, rows_of
from trainers.ops.uncertainty import MAPS, components, mean_softmax, predictive_entropy
from unify.errors import Problem, UnifyError
from unify.uncertainty_maps import MapRow, planned, standing, write_maps

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.commit import Result

Advance = Callable[[int, int], None]
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True, slots=True)
class Looking:
    """How the nets look. weighting: a key of `trainers.ops.uncertainty.MAPS`.

    side: pixels that both sides of an image are brought to before the nets see it (bilinear), 768 in the paper; 0
        leaves it as it is. Maps have the size of the label in either case.
    dropout_passes: passes of each member with its dropout at work; 0 for one without. dropout: share of the channels
        that are dropped before the classifier too, for nets without dropout of their own (our reconstruction).
    seed: of dropout and of "shuffled", together with the sample's id.
    """

    weighting: str = "instance"
    side: int = 0
    dropout_passes: int = 0
    dropout: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        faults = []
        if self.weighting not in MAPS:
            faults.append((f"there is no weighting '{self.weighting}' to store", f"known: {', '.join(MAPS)}"))
        if min(self.side, self.dropout_passes, self.seed) < 0 or not 0 <= self.dropout < 1:
            faults.append(("sizes and numbers are at least 0, and dropout is below 1", "correct it"))
        if self.dropout and not self.dropout_passes:
            faults.append(("dropout has no effect without passes", "give --mc-dropout N too"))
        if faults:
            raise UnifyError(*(Problem("usage", "", what, fix) for what, fix in faults))

    def to_json(self) -> dict[str, Any]:
        """What decides the maps, and nothing that has no effect."""
        found: dict[str, Any] = {"weighting": self.weighting}
        if self.side:
            found["side"] = self.side
        if self.dropout_passes:
            found |= {"dropout_passes": self.dropout_passes, "dropout": self.dropout}
        if self.dropout_passes or self.weighting == "shuffled":
            found["seed"] = self.seed
        return found


_DEFAULTS = Looking()


def make_maps(
    models: Sequence[Path],
    artifact: Artifact,
    out: Path,
    how: Looking = _DEFAULTS,
    *,
    splits: Sequence[str] = ("train",),
    options: Sequence[str] = (),
    name: str | None = None,
    device: str = "auto",
    advance: Advance = lambda images, size: None,
) -> Result:
    """The version below `out` of what the checkpoints `models` are unsure of in `artifact`; found again if it is there.

    Args:
        options: of `unify.uncertainty_maps.OPTIONS`.
        advance: called with (1, 0) after each image.

    Raises:
        UnifyError: what `trainers.checkpoint.load` raises; bad-artifact (65) for a checkpoint of other classes; usage
            (2) for a split that is not there, and for dropout where there is none; what writing raises.
    """
    loaded = [load(model) for model in models]
    for one in loaded:
        classes = artifact.taxonomy.space.names
        one.refuse_other_classes(classes, f"{artifact.manifest.name} {artifact.manifest.version}")
    parents = [one.file_digest for one in loaded]
    plan = planned(artifact, splits, {**how.to_json(), "models": parents}, parents, options=options, name=name)
    if (there := standing(plan, out)) is not None:
        from unify.commit import Result

        return Result(there, False, ())
    nets = [net_of(one, device_named(device)) for one in loaded]
    if how.dropout_passes:
        _refuse_without_dropout(nets, loaded, how)
    return write_maps(plan, _advancing(map_rows(nets, artifact, splits, how), advance), out)


def _advancing(rows: Iterable[MapRow], advance: Advance) -> Iterator[MapRow]:
    for row in rows:
        yield row
        advance(1, 0)


def _refuse_without_dropout(nets: Sequence[nn.Module], loaded: Sequence[Checkpoint], how: Looking) -> None:
    if how.dropout:
        return
    without = [
        one.path
        for net, one in zip(nets, loaded, strict=True)
        if not any(isinstance(module, _DROPOUTS) for module in net.modules())
    ]
    if without:
        what, fix = "has no dropout, so every pass would be the same", "give --dropout P, or another net"
        raise UnifyError(*(Problem("usage", str(path), what, fix) for path in without))


# --- Looking ------------------------------------------------------------------------------------------------


@torch.inference_mode()
def map_rows(nets: Sequence[nn.Module], artifact: Artifact, splits: Sequence[str], how: Looking) -> Iterator[MapRow]:
    """A row for each image of the splits, file by file."""
    from unify.draws.index import build_index

    samples = Samples(build_index([artifact]), None)
    index = samples.index
    device = next(nets[0].parameters()).device
    for row in np.sort(np.concatenate([rows_of(index, split) for split in splits])).tolist():
        sample, shard, sample_id = samples[row], index.shards[index.shard[row]], str(index.sample_id[row])
        p_khw = answer(nets, sample, how, sample_id, device)
        entropy_hw = predictive_entropy(p_khw[None])[0].cpu().numpy()
        prediction_hw = p_khw.argmax(0).to(torch.uint8).cpu().numpy()
        label_hw = sample.label_hw.numpy()
        rng = np.random.default_rng(_seed(how.seed, sample_id, 0))
        uncertainty_hw = MAPS[how.weighting](entropy_hw, prediction_hw, label_hw, rng)
        yield MapRow(
            sample_id,
            shard.source,
            shard.split,
            shard.path,
            label_hw,
            prediction_hw,
            uncertainty_hw,
            entropy_hw,
            components(prediction_hw).numbers(),
        )


def answer(nets: Sequence[nn.Module], sample: Sample, how: Looking, sample_id: str, device: torch.device) -> Tensor:
    """(K, H, W) float32 at the size of the label: the mean softmax over all passes of all nets."""
    image = normalized(sample.image_chw[None].to(device))
    if how.side:
        image = F.interpolate(image, (how.side, how.side), mode="bilinear", align_corners=False)
    size_hw = tuple(sample.label_hw.shape)
    total: Tensor | None = None
    passes = max(1, how.dropout_passes)
    for number in range(passes):
        for net in nets:
            with _dropping(net, how, _seed(how.seed, sample_id, 1 + number)):
                logits = net(image).float()
            if tuple(logits.shape[2:]) != size_hw:
                logits = F.interpolate(logits, size_hw, mode="bilinear", align_corners=False)
            p = mean_softmax([logits])
            total = p if total is None else total + p
    assert total is not None
    return total[0] / (passes * len(nets))


def _seed(seed: int, sample_id: str, number: int) -> int:
    """63 bits of all of them."""
    return int.from_bytes(blake3(f"{seed} {number} {sample_id}".encode()).digest(8), "little") >> 1


@contextmanager
def _dropping(net: nn.Module, how: Looking, seed: int) -> Iterator[None]:
    """Dropout at work within it, drawn from `seed`; nothing without passes. All else stays as in eval mode."""
    if not how.dropout_passes:
        yield
        return
    own = [module for module in net.modules() if isinstance(module, _DROPOUTS)]
    hooks = []
    if how.dropout:
        hooks = [classifier.register_forward_pre_hook(_drop(how.dropout)) for classifier in _classifiers(net)]
    device = next(net.parameters()).device
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            for module in own:
                module.train()
            yield
    finally:
        for module in own:
            module.eval()
        for hook in hooks:
            hook.remove()


def _drop(share: float) -> Callable[[nn.Module, Any], Any]:
    return lambda module, inputs: (F.dropout2d(inputs[0], share, training=True), *inputs[1:])


def _classifiers(net: nn.Module) -> list[nn.Module]:
    """Of the net, or of each member of an ensemble: what reads its features."""
    return [module.classifier for module in net.modules() if isinstance(getattr(module, "classifier", None), nn.Module)]  # type: ignore[misc]
