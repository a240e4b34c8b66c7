"""Answers of a classifier that is fitted anew on what a net sees, void among them: evidence of class relations.

A small net's features tell more classes apart than its classifier does, which learns of rare ones from a few pixels
of each batch; and no loss that knows of null classes ever tells it what a source leaves void. So the net stays as it
is, and a perceptron with one hidden layer is fitted to the labels of some hundred thousand of its pixels (classifiers
apart from features: Kang et al., ICLR 2020). It reads hypercolumns (Hariharan et al., CVPR 2015): the features, all
maps of the backbone, means of the last map and of the features around, colours, and the place in the image.

The label space is the union, as the net's is, and one void for each source: a pixel of a source teaches that source's
classes and void, by a softmax over these alone. At most 40 pixels of each image and label stand for the others.
Labels come by the square root of their frequency; that is made good in the logits (Menon et al., ICLR 2021), so that
answers are for the true frequencies of the answering source. No image is answered by a perceptron that was fitted to
it: images are in groups, and each group has one of its own, fitted to all others.

With `tiny` and 480 to 960 images it takes half a gigabyte and two to four minutes of a core; with nets of more
channels in proportion.

`scores` are the net's own cosines, as in `trainers.sweep`, over the drawn pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.data import Samples, in_order, normalized
from trainers.evaluate import device_named, device_of, rows_of
from trainers.metrics import VOID
from trainers.models import Segmenter
from trainers.sweep import Advance, check_codes, cosine_scale
from unify.errors import error
from unify.relations.evidence import UNIT, Evidence, Void, fold_of

if TYPE_CHECKING:
    from unify.artifact import Artifact

GROUPS = 4  #: of the evidence's folds
HIDDEN = 256
PASSES = 6.0  #: times the number of pixels drawn to fit
_DRAWN = 40  # pixels of an image and label
_VOID_DRAWN = 5 * _DRAWN
_MOST = 240 * _DRAWN  # pixels of a source and label; fewer of each image where there are more images
_BALANCE = 0.5  # pixels are drawn by this power of their label's frequency
_RATE, _DECAY, _DROPOUT, _BATCH = 2e-3, 1e-4, 0.1, 1024
_WINDOW = 9  # of the means around, in pixels of the map
_LARGEST = 6e4  # that float16 holds
_NEVER = -1e4


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """N drawn pixels, on the CPU. `columns` (N, D) float16: what is read of each. `label` (N,) int64, K for void.
    `source`, `fold` (N,) int64. `weight` (N,) float64: how many pixels of its image it stands for.
    """

    columns: Tensor
    label: Tensor
    source: Tensor
    fold: Tensor
    weight: Tensor


def evidence_of(
    model: Path,
    artifact: Artifact,
    *,
    split: str = "train",
    advance: Advance = lambda images, size: None,
    device: str = "auto",
    classes: str | None = None,
    passes: float = PASSES,
    is_half: bool = False,
    seed: int = 0,
) -> Evidence:
    """Evidence of the checkpoint at `model` over a split of a version, with void. As `trainers.sweep.evidence_of`.

    `is_half`: fit in bfloat16, in half the time where the processor knows it. The same seed, machine and number of
    threads give the same evidence.

    Raises:
        UnifyError: what `trainers.foreign.open_for` raises; usage (2) for a split that is not there, for nets of
            other people, of several nets or that look at images at several sizes, and where all images are in one
            group.
    """
    from trainers.foreign import open_for

    loaded, net = open_for(model, artifact, classes=classes, device=device_named(device))
    if not isinstance(net, Segmenter) or net.look is not None:
        what = "has no one map of features to fit a classifier on"
        raise error("usage", model, what, "leave --refit out, or take a single net of `unify train`")
    made_from = {"checkpoint": loaded.file_digest, "data": artifact.digest}
    evidence, pixels = drawn(net, artifact, made_from, split=split, advance=advance, seed=seed)
    return answered(evidence, pixels, device=device_of(net), passes=passes, is_half=is_half, seed=seed)


@torch.inference_mode()
def drawn(
    net: Segmenter, artifact: Artifact, made_from: dict[str, str], *, split: str, advance: Advance, seed: int = 0
) -> tuple[Evidence, Pixels]:
    """Pixels of all images, and evidence that has no answers yet."""
    from unify.draws.index import build_index

    evidence = Evidence.of_taxonomy(artifact.taxonomy, made_from, with_answers=False)
    samples = Samples(build_index([artifact]), None)
    device, scale, k = device_of(net), cosine_scale(net), len(evidence.classes)
    rows = rows_of(samples.index, split)
    most_images = int(np.bincount(samples.index.sources()[1][rows]).max())
    share = min(1.0, _MOST / _DRAWN / most_images)
    parts: list[tuple[Tensor, ...]] = []
    for sample in in_order(samples, rows):
        check_codes(sample, samples)
        source, name = samples.sources[sample.source], str(samples.index.sample_id[sample.row])
        s, fold = evidence.sources.index(source), fold_of(name, len(evidence.pixels))
        label_hw = sample.label_hw.numpy()
        place_n, label_n, weight_n = _chosen(
            label_hw, evidence.annotated[s], np.random.default_rng((seed, sample.row)), share
        )
        column_nd, logit_nk = _columns(net, normalized(sample.image_chw[None].to(device)), place_n)
        cosine_nk = 2 * logit_nk.sigmoid() - 1 if scale is None else logit_nk / scale
        one_hot_kn = (torch.arange(k)[:, None] == label_n).double() * weight_n
        sums_kk = one_hot_kn @ cosine_nk.cpu().double()
        evidence = evidence.add_sums(source, fold, np.rint(one_hot_kn.sum(1).numpy()), sums_kk.numpy())
        whose = [torch.full_like(label_n, value) for value in (s, fold)]
        parts.append((column_nd.clamp(-_LARGEST, _LARGEST).half().cpu(), label_n, *whose, weight_n))
        advance(1, 0)
    return evidence, Pixels(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _chosen(
    label_hw: NDArray[np.uint8], known_k: NDArray[np.bool_], rng: np.random.Generator, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Of some pixels of an image: (N, 2) int64 row and column, (N,) label, K for void, (N,) weight. Sets of classes
    and classes that the source does not annotate are passed over."""
    k, width = len(known_k), label_hw.shape[1]
    places, labels, weights = [], [], []
    for code in np.unique(label_hw).tolist():
        if code != VOID and not (code < k and known_k[code]):
            continue
        at, label = np.flatnonzero(label_hw == code), min(code, k)
        wanted = max(1, round((_DRAWN if label < k else _VOID_DRAWN) * share))
        taken = rng.choice(at, min(len(at), wanted), replace=False)
        places.append(taken)
        labels.append(np.full(len(taken), label))
        weights.append(np.full(len(taken), len(at) / len(taken)))
    place_n = np.concatenate([np.empty(0, np.int64), *places])
    place_n2 = np.stack([place_n // width, place_n % width], axis=1)
    label_n, weight_n = np.concatenate([np.empty(0, np.int64), *labels]), np.concatenate([np.empty(0), *weights])
    return torch.from_numpy(place_n2), torch.from_numpy(label_n), torch.from_numpy(weight_n)


def _columns(net: Segmenter, image_bchw: Tensor, place_n2: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D) what is read of these pixels of one image, and (N, K) the net's logits there."""
    height, width = image_bchw.shape[2:]
    features, _, maps = net._features_and_maps(image_bchw)
    logits = net.classifier(net._through(features))
    padding = (0, -width % net.multiple, 0, -height % net.multiple)  # as the net's: all maps cover the padded image
    padded = F.pad(image_bchw, padding, mode="replicate") if any(padding) else image_bchw
    fourth = F.avg_pool2d(padded, 4, ceil_mode=True)
    near, far = _mean_around(fourth, 5), _mean_around(fourth, 17)
    spread = (_mean_around(fourth**2, 5) - near**2).clamp_min(0).sqrt()
    size = torch.tensor(padded.shape[2:], device=image_bchw.device)
    centre_n2 = (place_n2.to(size.device) + 0.5) / size * 2 - 1
    grid = centre_n2.flip(1).to(image_bchw.dtype)[None, None]  # x before y

    def at(value_bchw: Tensor) -> Tensor:
        found: Tensor = F.grid_sample(value_bchw, grid, "bilinear", "border", align_corners=False)[0, :, 0].T
        return found

    whole = [features, *maps, _mean_around(features, _WINDOW), _mean_around(maps[-1], _WINDOW), near, spread, far]
    own = image_bchw[0][:, place_n2[:, 0], place_n2[:, 1]].T
    return torch.cat([*map(at, whole), own, centre_n2.to(own.dtype)], dim=1), at(logits)


def _mean_around(value_bchw: Tensor, window: int) -> Tensor:
    return F.avg_pool2d(value_bchw, window, 1, window // 2, count_include_pad=False)


def answered(
    evidence: Evidence, pixels: Pixels, *, device: torch.device, passes: float, is_half: bool = False, seed: int = 0
) -> Evidence:
    """`evidence` with answers, and void."""
    folds, (sources, k) = len(evidence.pixels), evidence.annotated.shape
    cell_n = (pixels.fold * sources + pixels.source) * (k + 1) + pixels.label
    sums = torch.zeros(folds * sources * (k + 1), sources, k, dtype=torch.float64)
    group_n = pixels.fold % GROUPS
    for group in sorted(set(group_n.tolist())):
        others = (group_n != group).nonzero().flatten()
        if not len(others):
            what = "all images are in one group of folds, so none can be answered by what was fitted to others"
            raise error("usage", "evidence of relations", what, "take more images, or leave --refit out")
        fitted = fit(pixels, others, sources, k, device=device, passes=passes, is_half=is_half, seed=seed)
        for here_n in (group_n == group).nonzero().flatten().split(1 << 16):
            answer_nsk = fitted(pixels.columns[here_n]).cpu().double()
            sums.index_add_(0, cell_n[here_n], answer_nsk * pixels.weight[here_n, None, None])
    answers = np.rint(sums.numpy() * UNIT).astype(np.int64).reshape(folds, sources, k + 1, sources, k)
    weight = torch.zeros(len(sums), dtype=torch.float64).index_add_(0, cell_n, pixels.weight)
    void = np.rint(weight.numpy()).astype(np.int64).reshape(folds, sources, k + 1)[..., k]
    return dataclasses.replace(evidence, answers=answers[:, :, :k].copy(), void=Void(void, answers[:, :, k].copy()))


def fit(
    pixels: Pixels,
    chosen_m: Tensor,
    sources: int,
    k: int,
    *,
    device: torch.device,
    passes: float,
    is_half: bool = False,
    seed: int = 0,
) -> Callable[[Tensor], Tensor]:
    """What was learnt of the chosen pixels: (N, D) float16 -> (N, S, K) float32, each source's answers; the rest is
    its void."""
    columns_md, label_m, source_m = (v[chosen_m] for v in (pixels.columns, pixels.label, pixels.source))
    cell_m = source_m * (k + 1) + label_m
    count = torch.zeros(sources * (k + 1), dtype=torch.float64).index_add_(0, cell_m, pixels.weight[chosen_m])
    count_sl = count.view(sources, k + 1)
    frequency_sl = count_sl / count_sl.sum(1, keepdim=True).clamp_min(1)
    drawn_sl = frequency_sl**_BALANCE
    drawn_sl /= drawn_sl.sum(1, keepdim=True).clamp_min(1e-12)
    chance_m = pixels.weight[chosen_m] * (drawn_sl / count_sl.clamp_min(1)).flatten()[cell_m]
    reach_m = (chance_m.cumsum(0) / chance_m.sum()).numpy()
    # Outputs: the classes of the union, and a void for each source.
    target_m = torch.where(label_m < k, label_m, k + source_m)
    drawn_so, frequency_so = (_in_outputs(_log(values), k).to(device) for values in (drawn_sl, frequency_sl))
    is_there_s = (count_sl.sum(1) > 0).float().to(device)

    deviation_d, mean_d = (v.to(device) for v in torch.std_mean(columns_md.float(), dim=0))
    deviation_d = deviation_d + 1e-3
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Linear(columns_md.shape[1], HIDDEN),
            nn.LayerNorm(HIDDEN),
            nn.GELU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(HIDDEN, k + sources),
        ).to(device)
        steps = max(2, round(passes * len(label_m) / _BATCH))
        optimizer = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.1)
        for _ in range(steps):
            picked = np.searchsorted(reach_m, rng.random(_BATCH)).clip(max=len(reach_m) - 1)
            batch_b = torch.from_numpy(picked)
            columns_bd = (columns_md[batch_b].to(device).float() - mean_d) / deviation_d
            with torch.autocast(device.type, torch.bfloat16, enabled=is_half):
                logits_bo = net(columns_bd)
            prior_bo = drawn_so[source_m[batch_b].to(device)]
            loss = F.cross_entropy(logits_bo.float() + prior_bo, target_m[batch_b].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    net.eval()

    @torch.inference_mode()
    def answers(columns_nd: Tensor) -> Tensor:
        logits_no = net((columns_nd.to(device).float() - mean_d) / deviation_d)
        told = [(logits_no + prior_o).softmax(1)[:, :k] * there
                for prior_o, there in zip(frequency_so, is_there_s, strict=True)]  # fmt: skip
        return torch.stack(told, dim=1)

    return answers


def _log(share: Tensor) -> Tensor:
    return torch.where(share > 0, share.clamp_min(1e-12).log(), _NEVER).float()


def _in_outputs(values_sl: Tensor, k: int) -> Tensor:
    """(S, K + S): each source's values of its labels in the places of the outputs; never for others' voids."""
    sources = len(values_sl)
    voids_ss = torch.full((sources, sources), _NEVER)
    voids_ss.fill_diagonal_(0).diagonal().add_(values_sl[:, k])
    return torch.cat([values_sl[:, :k], voids_ss], dim=1)
