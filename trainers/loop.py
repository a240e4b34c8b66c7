"""The training loop, in the open: draw, forward, loss, backward, step, and every so often score and save.

All that a step depends on is in the checkpoint or follows from its number: weights and the optimizer's state are
stored, so is torch's random state; the learning rate is a function of the step, and which images are drawn, and what
chance does to each, a function of the draw's number. So a run that is killed goes on from its last checkpoint and
ends with the same bits, on one machine with the same number of torch's threads. (On a GPU only with
`deterministic`: some of its operations add up in any order.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import checkpoint as files
from trainers import runfiles
from trainers.checkpoint import Checkpoint
from trainers.data import Batch, Order, Samples, batches, normalized
from trainers.evaluate import confusion_of, device_named, report, rows_of
from trainers.methods import METHODS, Method, Teaching, method_named
from trainers.settings import FREE, Settings
from unify import storage
from unify.errors import Problem, UnifyError, error

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.index import Index
    from unify.mixtures import Schedule

Advance = Callable[[int, int], None]


@dataclass
class Run:
    """What changes while a net is trained.

    step: updates done. losses: of each of them. scores: what `_score` found, each with its step. seconds: spent.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Data:
    """The versions of a run, bound: what is drawn, read and taught."""

    artifacts: tuple[Artifact, ...]
    schedule: Schedule
    samples: Samples
    teaching: Teaching
    relations: str  # digest, or ""

    @property
    def index(self) -> Index:
        return self.samples.index


def train(
    artifacts: Sequence[Artifact],
    out: Path,
    settings: Settings,
    *,
    relations: Path | None = None,
    resume: bool = False,
    advance: Advance = lambda steps, size: None,
) -> dict[str, Any]:
    """Train a net into the folder `out`: ckpt.pt, ckpt.safetensors, ckpt.json, log.csv, metrics.json, curves.png.

    Args:
        artifacts: versions of one label space.
        relations: a folder of `unify relations`, for methods that take them.
        resume: go on from the checkpoint in `out`; from the beginning if there is none yet.
        advance: called with (steps, 0): those done before, then 1 after each step.

    Returns:
        What metrics.json holds: {"method", "model", "steps", "loss", "miou", "iou", ..., "settings", "data"}.

    Raises:
        UnifyError: usage (2) for unknown names, and relations that are missing or not taken; cannot-create (73) if
            `out` holds another run; bad-config (78) for a continuation with other settings, and a loss that is NaN;
            what reading versions and writing files raises.
    """
    started = time.perf_counter()
    method, device = method_named(settings.method), device_named(settings.device)
    data = bind(artifacts, settings, method, relations)
    storage.make_dirs(out)
    with storage.lock(out):
        there = _there(out, resume)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        if settings.deterministic:
            torch.use_deterministic_algorithms(True)
        torch.manual_seed(settings.seed)
        net = build_net(settings, len(data.index.classes)).to(device)
        run = Run(net, optimizer_of(net, settings))
        if there is not None:
            _restore(run, there, settings, data)
        advance(run.step, 0)
        before = run.seconds
        for step in steps(run, data, settings, method, device, out):
            run.seconds = before + time.perf_counter() - started
            _after(step, run, data, settings, method, out)
            advance(1, 0)
        return _finish(run, data, settings, method, out)


# --- What a run is made of ----------------------------------------------------------------------------------


def bind(artifacts: Sequence[Artifact], settings: Settings, method: Method, relations: Path | None) -> Data:
    from unify.index import build_index
    from unify.mixturefile import mixture_named
    from unify.mixtures import schedule

    index = build_index(artifacts)
    plan = schedule(mixture_named(settings.mixture), index)
    samples = Samples(index, settings.augment(), seed=settings.seed)
    members = samples.members if len(samples.members) else None
    name = settings.method
    if method.relations == "required" and relations is None:
        raise error("usage", "--relations", f"{name} needs relations", "learn them with `unify relations --from-model`")
    if method.relations == "none" and relations is not None:
        takers = ", ".join(k for k, m in METHODS.items() if m.relations != "none")
        raise error("usage", "--relations", f"{name} takes no relations", f"leave them out, or train {takers}")
    if relations is None:
        return Data(tuple(artifacts), plan, samples, Teaching(members), "")
    targets, possible, digest = related(relations, samples)
    return Data(tuple(artifacts), plan, samples, Teaching(members, targets, possible), digest)


def related(folder: Path, samples: Samples) -> tuple[Tensor, Tensor, str]:
    """`Teaching.targets` and `Teaching.possible` of a folder of relations, and its digest.

    Raises `UnifyError`: what `open_relations` raises; usage (2) for sources or classes that are not in the data.
    """
    from unify.artifact import open_artifact
    from unify.relation_files import open_relations
    from unify.relation_rules import matrix_of

    found = open_relations(folder)
    classes = samples.index.classes
    targets_skk = matrix_of(found.edges, samples.sources, classes)
    possible_skk = np.zeros_like(targets_skk)
    position = {name: i for i, name in enumerate(classes)}
    for edge in found.edges:
        if edge.source in samples.sources and {edge.label, edge.related} <= position.keys():
            s = samples.sources.index(edge.source)
            possible_skk[s, position[edge.label], position[edge.related]] = True
    allowed_sk = np.zeros(targets_skk.shape[:2], np.bool_)
    for shard, allowed_k in zip(samples.index.shards, samples.allowed_of_shard.numpy(), strict=True):
        if shard.source in samples.sources:
            allowed_sk[samples.sources.index(shard.source)] |= allowed_k
    possible_skk &= ~allowed_sk[:, None, :]
    return torch.from_numpy(targets_skk), torch.from_numpy(possible_skk), open_artifact(folder).digest


def build_net(settings: Settings, num_classes: int) -> nn.Module:
    from trainers import models

    return models.build(settings.model, num_classes, weights="imagenet" if settings.pretrained else None)


def optimizer_of(net: Any, settings: Settings) -> torch.optim.Optimizer:
    """Backbone and head are groups of their own, each with its factor on the learning rate."""
    from trainers.models import parameter_groups

    lr, decay = settings.lr, settings.weight_decay
    groups = parameter_groups(net, lr=lr, weight_decay=decay, backbone_factor=settings.backbone_lr)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr, momentum=settings.momentum, weight_decay=decay)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr, weight_decay=decay)
    return torch.optim.AdamW(groups, lr, weight_decay=decay)


def steps_of(artifacts: Sequence[Artifact], settings: Settings, epochs: float) -> int:
    """How many steps show `epochs` times what an epoch of the mixture draws, rounded up."""
    from unify.index import build_index
    from unify.mixturefile import mixture_named
    from unify.mixtures import schedule

    length = schedule(mixture_named(settings.mixture), build_index(artifacts)).length
    return max(1, math.ceil(length * epochs / (settings.batch * settings.accumulate)))


def learning_rate(settings: Settings, step: int) -> float:
    """Of step 0, 1, ...: lr * (1 - step / steps)^power, in the first `warmup` steps times (step + 1) / warmup."""
    warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    return settings.lr * warm * math.pow(1 - step / settings.steps, settings.power)


# --- Steps --------------------------------------------------------------------------------------------------


def steps(run: Run, data: Data, settings: Settings, method: Method, device: torch.device, out: Path) -> Iterator[int]:
    """Does the steps that are left, and yields each one's number, from 1, when it is done."""
    from unify.mixtures import draw_epoch

    order = Order(
        lambda number: draw_epoch(data.schedule, settings.seed, number),
        settings.batch,
        settings.steps * settings.accumulate,
        start=run.step * settings.accumulate,
    )
    source = batches(data.samples, order, workers=settings.workers, pin_memory=device.type == "cuda")
    teaching = data.teaching.to(device)
    run.net.train()
    while run.step < settings.steps:
        # Loaders take numbers from the global generator when they start: a run that goes on must not see that.
        with torch.random.fork_rng(devices=[]):
            parts = [next(source) for _ in range(settings.accumulate)]
        rate = learning_rate(settings, run.step)
        for group in run.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        run.losses.append(_update(run, parts, teaching, settings, method, device, data, out))
        run.step += 1
        yield run.step


def _update(
    run: Run,
    parts: list[Batch],
    teaching: Teaching,
    settings: Settings,
    method: Method,
    device: torch.device,
    data: Data,
    out: Path,
) -> float:
    """One step of the optimizer on all parts together: their loss per labelled pixel."""
    num_classes = len(data.index.classes)
    labels = [method.labels(part, num_classes) for part in parts]
    pixels = torch.tensor(max(1, sum(int((part != 255).sum()) for part in labels)), device=device)
    run.optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for part, labels_bhw in zip(parts, labels, strict=True):
        batch = part.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            logits_bkhw, guess_bkhw = run.net(normalized(batch.image_bchw), auxiliary=True)
        labels_bhw = labels_bhw.to(device)
        loss = method.loss(logits_bkhw, labels_bhw, batch, teaching, pixels)
        if guess_bkhw is not None:
            loss = loss + settings.auxiliary * method.loss(guess_bkhw, labels_bhw, batch, teaching, pixels)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise _diverged(run, logits_bkhw, value, part, data, settings, out)
        loss.backward()  # type: ignore[no-untyped-call]
        total += value
    run.optimizer.step()
    return total


def _diverged(
    run: Run, logits_bkhw: Tensor, value: float, part: Batch, data: Data, settings: Settings, out: Path
) -> UnifyError:
    bad = [name for name, weight in run.net.named_parameters() if not weight.isfinite().all()]
    where = (
        f"weights are too ({bad[0]})"
        if bad
        else "logits are too"
        if not logits_bkhw.isfinite().all()
        else "logits are not"
    )
    ids = [str(data.index.sample_id[row]) for row in part.row_b.tolist()[:2]]
    more = ", ..." if len(part.row_b) > 2 else ""
    what = f"the loss is {value} in step {run.step + 1} of {settings.steps} ({where}; images {', '.join(ids)}{more})"
    fix = f"lower the learning rate ({settings.lr:g}), or --set warmup=N; checkpoints keep what was before"
    return error("bad-config", out, what, fix)


# --- Every so often -----------------------------------------------------------------------------------------


def _after(step: int, run: Run, data: Data, settings: Settings, method: Method, out: Path) -> None:
    last = step == settings.steps
    tenth = max(1, settings.steps // 10)
    if not last and step % (settings.evaluate_every or tenth) == 0:
        _score(run, data, settings, method, settings.evaluate_images)
    if not last and step % (settings.save_every or tenth) == 0:
        _save(run, data, settings, out)


def _score(run: Run, data: Data, settings: Settings, method: Method, images: int) -> dict[str, Any] | None:
    """Adds the mIoU of the split that is held out to the run; nothing if there is no such split."""
    rows = held_out(data.index, settings, images)
    if not len(rows):
        return None
    whole = Samples(data.index, None)
    counts = confusion_of(run.net, whole, rows, bf16=settings.precision == "bf16", activation=method.activation)
    found = report(counts, data.index.classes)
    run.scores.append({"step": run.step, "miou": found["miou"], "images": len(rows)})
    return found


def held_out(index: Index, settings: Settings, images: int) -> NDArray[np.int64]:
    if settings.evaluate_split not in {shard.split for shard in index.shards}:
        return np.zeros(0, np.int64)
    return rows_of(index, settings.evaluate_split, images)


def _finish(run: Run, data: Data, settings: Settings, method: Method, out: Path) -> dict[str, Any]:
    """The last score, checkpoint and files. Of a run that was finished before: what it wrote."""
    done = runfiles.read_metrics(out)
    if done is not None and done["step"] == run.step == settings.steps:
        return done
    found = _score(run, data, settings, method, 0)
    loaded = _save(run, data, settings, out)
    metrics = {
        "method": settings.method,
        "model": settings.model,
        "step": run.step,
        "steps": settings.steps,
        "loss": run.losses[-1] if run.losses else None,
        "miou": None,
        **(found or {}),
        "split": settings.evaluate_split,
        "scores": run.scores,
        "seconds": round(run.seconds, 1),
        "parameters": sum(p.numel() for p in run.net.parameters()),
        "settings": settings.to_json(),
        "data": list(loaded.data),
        "relations": data.relations,
        "weights": files.digest_of(loaded.weights),
    }
    runfiles.write_metrics(out, metrics)
    return metrics


# --- On disk ------------------------------------------------------------------------------------------------


def _save(run: Run, data: Data, settings: Settings, out: Path) -> Checkpoint:
    taxonomy = data.artifacts[0].taxonomy
    files.refuse_not_finite(run.net.state_dict(), f"{out}, step {run.step}")
    saved = Checkpoint(
        config=dict(run.net.config),  # type: ignore[arg-type]
        classes=taxonomy.space.names,
        space=taxonomy.to_json()["space"],  # type: ignore[arg-type]
        taxonomy="+".join(dict.fromkeys(a.taxonomy.digest() for a in data.artifacts)),
        data=tuple(sorted(a.digest for a in data.artifacts)),
        method=settings.method,
        step=run.step,
        weights=dict(run.net.state_dict()),
        training={
            "settings": settings.to_json(),
            "relations": data.relations,
            "optimizer": run.optimizer.state_dict(),
            "random": {"cpu": torch.get_rng_state(), **_cuda_state()},
            "losses": torch.tensor(run.losses, dtype=torch.float64),
            "scores": run.scores,
            "seconds": run.seconds,
        },
    )
    files.save(saved, out)
    rates = [learning_rate(settings, step) for step in range(run.step)]
    runfiles.write_progress(out, run.losses, rates, run.scores, title=f"{settings.method}, {settings.model}")
    return saved


def _cuda_state() -> dict[str, Tensor]:
    return {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}


def _there(out: Path, resume: bool) -> Checkpoint | None:
    if not (out / files.PT).exists():
        return None
    if not resume:
        raise error("cannot-create", out, "holds a run already", "go on with --resume, or choose another --out")
    return files.load(out / files.PT)


def _restore(run: Run, there: Checkpoint, settings: Settings, data: Data) -> None:
    """Raises `UnifyError` (bad-config) with everything in which the continuation differs from the run."""
    training, path = there.training, there.path
    there.refuse_other_classes(data.index.classes, "the data")
    try:
        old = dict(training["settings"])
        new = settings.to_json()
        faults = [f"{k} was {old.get(k)}, not {v}" for k, v in new.items() if k not in FREE and old.get(k) != v]
        if there.data != tuple(sorted(a.digest for a in data.artifacts)):
            faults.append("the data was another version")
        if training["relations"] != data.relations:
            faults.append("the relations were others")
        if faults:
            fix = "give the same settings as before, or choose another --out"
            raise UnifyError(*(Problem("bad-config", str(path), what, fix) for what in faults))
        files.put_weights(run.net, there)
        run.optimizer.load_state_dict(training["optimizer"])
        torch.set_rng_state(training["random"]["cpu"])
        if "cuda" in training["random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(training["random"]["cuda"])
        run.step, run.seconds = there.step, float(training["seconds"])
        run.losses, run.scores = training["losses"].tolist(), [dict(score) for score in training["scores"]]
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as e:
        raise error("bad-artifact", path or "", f"cannot be gone on from ({e!r})", "train into another folder") from e
