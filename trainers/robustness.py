"""What nets lose where the classes that they lean on are gone: rows I and I* of DropClass's Table B-1.

Chu, Kim and Han, NeurIPS 2021, supplement, Section B. I is a split of a version. For each class c there is a set in
which the classes that influence c most were erased (`unify influence`, `unify erase --influence`); I* of c is c's IoU
on that set alone, erased pixels void. All nets are scored on the same sets, made from the influences of one of them.

Images that show none of the erased classes are the same in I and the set, so their answers are taken from I: the cost
is a forward pass for each image, and one for each image of each set in which something was erased; each once a net.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import metrics
from trainers.checkpoint import Checkpoint
from trainers.data import Samples
from trainers.evaluate import device_named, rows_of
from trainers.influence_sweep import answers_of
from unify.errors import error
from unify.unbiased import Unbiased, sets_of

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.report.ratio_tables import Table

Advance = Callable[[int, int], None]
Bytes = NDArray[np.uint8]
Counts = NDArray[np.int64]  #: (..., 3, K): pixels of each class, answered as it among them, others answered as it
MOST = 9  #: classes of the highest vulnerability, of which mIoU* is the mean


def robustness_of(
    checkpoints: Sequence[Path],
    artifact: Artifact,
    unbiased: Artifact | Sequence[Artifact],
    *,
    split: str = "val",
    names: Sequence[str] = (),
    selecting: int = 0,
    most: int = MOST,
    device: str = "auto",
    bf16: bool = False,
    classes: str | None = None,
    advance: Advance = lambda images, size: None,
) -> dict[str, Any]:
    """Scores of one or more checkpoints on a split of a version, and on erased sets of it.

    Args:
        unbiased: a set for each class, or a single one for all classes that it does not lack.
        names: of the checkpoints; by default that of their folder.
        classes: of nets of other people among them (`trainers.foreign.open_net`).
        selecting: the checkpoint whose losses order the classes: the one that the sets were made for.
        advance: called with (1, 0) after each image that all nets have seen.

    Returns:
        {"table": `unify.report.ratio_tables.Table.to_json()`, "models": [{"name", "checkpoint", "method", "step",
        "biased": {class: IoU}, "unbiased": {class: IoU or None}}], "selecting", "most", "erased": {class: [classes]},
        "sets": {class: digest}, "data", "split", "images"}. IoU in 0..1, of the classes that I shows; a set for all
        classes stands under "".

    Raises:
        UnifyError: what `trainers.foreign.open_for` and `sets_of` raise; usage (2) for a split that is not there, or
            sets without images that they should have.
    """
    from unify.draws.index import build_index

    sets = sets_of([unbiased] if not isinstance(unbiased, Sequence) else unbiased, artifact)
    opened = opened_for(checkpoints, artifact, classes, device)
    loaded, nets = [checkpoint for checkpoint, _ in opened], [net for _, net in opened]
    space = artifact.taxonomy.space
    samples = Samples(build_index([artifact]), None)
    rows = rows_of(samples.index, split)
    biased = np.stack([_counted(nets, samples, row, (), bf16, advance) for row in rows.tolist()])
    whole = _ious(biased.sum(0))
    found_nk = np.full_like(whole, np.nan)
    for one in sets:
        counts = _on_set(nets, samples, rows, biased, one, bf16, advance)
        targets = [one.target] if one.target else [name for name in space.names if name not in one.erased]
        wanted = [space.index(name) for name in targets]
        found_nk[:, wanted] = _ious(counts)[:, wanted]
    names = names or names_of(checkpoints)
    models = [
        {
            "name": name,
            "checkpoint": checkpoint.file_digest,
            "method": checkpoint.method,
            "step": checkpoint.step,
            "biased": _by_name(space.names, whole_k, whole_k),
            "unbiased": _by_name(space.names, found_k, whole_k),
        }
        for name, checkpoint, whole_k, found_k in zip(names, loaded, whole, found_nk, strict=True)
    ]
    found = {
        "models": models,
        "selecting": selecting,
        "most": most,
        "erased": {one.target or "": list(one.erased) for one in sets},
        "sets": {one.target or "": one.artifact.digest for one in sets},
        "data": artifact.digest,
        "split": split,
        "images": len(rows),
    }
    return {"table": table_of(found).to_json(), **found}


def opened_for(
    checkpoints: Sequence[Path], artifact: Artifact, classes: str | None, device: str
) -> list[tuple[Checkpoint, nn.Module]]:
    """Each with its net. `classes` are those of nets of other people; usage (2) if there is none."""
    from trainers.foreign import is_foreign, open_for

    is_theirs = [is_foreign(path) for path in checkpoints]
    if classes is not None and not any(is_theirs):
        what = "is for nets of other people, and none of these is one (a folder of transformers, TorchScript, .pt2)"
        raise error("usage", "--classes", what, "leave it out: checkpoints of unify know their classes")
    place = device_named(device)
    return [
        open_for(path, artifact, classes=classes if theirs else None, device=place)
        for path, theirs in zip(checkpoints, is_theirs, strict=True)
    ]


def table_of(found: Mapping[str, Any]) -> Table:
    """The table of what `robustness_of` gives, which prints itself. Raises `UnifyError` (usage)."""
    from unify.report.ratio_tables import ModelScores, robustness

    scores = [ModelScores(m["name"], m["biased"], m["unbiased"]) for m in found["models"]]
    top = None if "" in found["erased"] else found["erased"]
    return robustness(scores, selecting=found["selecting"], most=found["most"], top=top)


def names_of(checkpoints: Sequence[Path]) -> tuple[str, ...]:
    """The folders' names, or paths where those are not different."""
    folders = [path.parent.name if path.suffix else path.name for path in checkpoints]
    return tuple(folders) if len(set(folders)) == len(folders) else tuple(map(str, checkpoints))


def _by_name(
    classes: Sequence[str], iou_k: NDArray[np.float64], whole_k: NDArray[np.float64]
) -> dict[str, float | None]:
    """Of the classes that I shows; None for those without a figure."""
    shown = [(n, v) for n, v, whole in zip(classes, iou_k.tolist(), whole_k.tolist(), strict=True) if whole == whole]
    return {name: value if value == value else None for name, value in shown}


def _on_set(
    nets: Sequence[nn.Module],
    samples: Samples,
    rows: NDArray[np.int64],
    biased: Counts,
    one: Unbiased,
    bf16: bool,
    advance: Advance,
) -> Counts:
    """(nets, 3, K): over all images of the split, with those of the set where something was erased."""
    from unify.draws.index import build_index

    index, ids = samples.index, [samples.index.classes.index(name) for name in one.erased]
    without = Samples(build_index([one.artifact]), None)
    place = {str(name): row for row, name in enumerate(without.index.sample_id)}
    touched = index.present[rows][:, ids].any(1)
    missing = [str(index.sample_id[row]) for row in rows[touched].tolist() if str(index.sample_id[row]) not in place]
    if missing:
        what = f"lacks {len(missing)} images of the split, such as {missing[0]}"
        raise error("usage", one.artifact.path, what, "erase without --split, or with that of --data")
    total: Counts = biased[~touched].sum(0)
    for row in rows[touched].tolist():
        total = total + _counted(nets, without, place[str(index.sample_id[row])], ids, bf16, advance)
    return total


def _counted(
    nets: Sequence[nn.Module], samples: Samples, row: int, ids: Sequence[int], bf16: bool, advance: Advance
) -> Counts:
    """(nets, 3, K) of one image; pixels of the classes `ids` are void."""
    sample = samples[row]
    num_classes = len(samples.index.classes)
    label_hw = sample.label_hw.numpy()
    truth_hw = np.where((label_hw >= num_classes) | np.isin(label_hw, ids), metrics.VOID, label_hw).astype(np.uint8)
    counts = [counts_of(net, sample.image_chw, truth_hw, sample.allowed_k, bf16) for net in nets]
    advance(1, 0)
    return np.stack(counts)


def counts_of(net: nn.Module, image_chw: Tensor, truth_hw: Bytes, allowed_k: Tensor, bf16: bool = False) -> Counts:
    """(3, K), see `Counts`, of an image and its class ids with void."""
    image_hwc = np.ascontiguousarray(image_chw.numpy().transpose(1, 2, 0))
    (answer_hw,) = answers_of(net, [image_hwc], allowed_k, 1, bf16)
    found = metrics.confusion_matrix(answer_hw, truth_hw, len(allowed_k))
    hit = found.diagonal()
    return np.stack([found.sum(1), hit, found.sum(0) - hit])


def _ious(counts: Counts) -> NDArray[np.float64]:
    """(..., 3, K) -> (..., K); NaN for classes without a pixel, which no set can say anything about."""
    pixels, hit, wrong = counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]
    found: NDArray[np.float64] = np.divide(hit, pixels + wrong, out=np.full(hit.shape, np.nan), where=pixels > 0)
    return found


# --- The picture --------------------------------------------------------------------------------------------


def cases_of(
    checkpoints: Sequence[Path],
    artifact: Artifact,
    one: Unbiased,
    *,
    split: str = "val",
    names: Sequence[str] = (),
    cases: int = 2,
    device: str = "auto",
    classes: str | None = None,
) -> Any:
    """The picture of Figure B-2 (a Pillow image): outputs of each net on images as they are, and erased below.

    Those `cases` images in which the first net loses the most pixels that it had right; where an answer changes,
    beside what was erased, the largest such area is framed.
    """
    from unify.draws.index import build_index
    from unify.report.cases import Case, Panel, draw_cases, largest_area

    nets = [net for _, net in opened_for(checkpoints, artifact, classes, device)]
    samples, without = (Samples(build_index([a]), None) for a in (artifact, one.artifact))
    place = {str(name): row for row, name in enumerate(without.index.sample_id)}
    space = artifact.taxonomy.space
    ids = [space.index(name) for name in one.erased]
    rows = rows_of(samples.index, split)
    rows = rows[samples.index.present[rows][:, ids].any(1)]

    def seen(row: int, chosen: Sequence[nn.Module]) -> tuple[list[Bytes], Bytes, list[list[Bytes]]]:
        """Both images, the truth, and each net's answers on both."""
        sample, erased = samples[row], without[place[str(samples.index.sample_id[row])]]
        images = [np.ascontiguousarray(s.image_chw.numpy().transpose(1, 2, 0)) for s in (sample, erased)]
        answers = [answers_of(net, images, sample.allowed_k, 2) for net in chosen]
        return images, sample.label_hw.numpy(), answers

    def lost(row: int) -> int:
        _, truth_hw, ((before_hw, after_hw),) = seen(row, nets[:1])
        return int(((before_hw == truth_hw) & (after_hw != truth_hw) & ~np.isin(truth_hw, ids)).sum())

    worst = sorted(rows.tolist(), key=lambda row: (-lost(row), row))[:cases]
    palette, drawn = space.palette(), []
    for row in worst:
        images, truth_hw, answers = seen(row, nets)
        is_erased = np.isin(truth_hw, ids)
        columns = [[Panel(image) for image in images]]
        for before_hw, after_hw in answers:
            area = largest_area((before_hw != after_hw) & ~is_erased)
            columns.append([Panel(palette[before_hw], area), Panel(palette[after_hw], area)])
        shown = np.unique(np.stack([answer for pair in answers for answer in pair]))
        drawn.append(Case(str(samples.index.sample_id[row]), columns, tuple(shown.tolist())))
    heads = ["image", *(names or names_of(checkpoints))]
    title = f"{one.target}: without {', '.join(one.erased)}" if one.target else f"Without {', '.join(one.erased)}"
    return draw_cases(drawn, title, heads, ["I", "I*"], space)
