"""The training loop, in the open: draw, forward, loss, backward, step, and every so often score and save.

All that a step depends on is in the checkpoint or follows from its number: weights and the optimizer's state are
stored, so is torch's random state; the learning rate is a function of the step, and which images are drawn, and what
chance does to each, a function of the draw's number. So a run that is killed goes on from its last checkpoint and
ends with the same bits, on one machine with the same number of torch's threads. (On a GPU only with
`deterministic`: some of its operations add up in any order.) Several processes, as torchrun starts them, take turns in
the draws: an update of two is that of one process with twice the batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import checkpoint as files
from trainers import runfiles
from trainers.bound import Data, bind, scored_rows
from trainers.checkpoint import Checkpoint
from trainers.data import Batch, Order, Samples, batches
from trainers.distributed import Group, apart, joined, synced
from trainers.evaluate import confusion_of, device_named, report
from trainers.methods import Method, Step, Teaching, method_named
from trainers.settings import FREE, Settings, settings_of
from trainers.trainee import Trainee
from unify import storage
from unify.errors import Problem, UnifyError, error

if TYPE_CHECKING:
    from unify.artifact import Artifact

Advance = Callable[[int, int], None]
BEST = "best"  #: folder of the checkpoint with the highest score


@dataclass
class Run:
    """What changes while a net is trained.

    parts: what is trained besides the net (`Method.parts`). step: updates done. losses: of each of them. scores: what
    `_score` found, each with its step. seconds: spent.
    """

    net: nn.Module
    parts: nn.Module | None
    optimizer: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def train(
    artifacts: Sequence[Artifact],
    out: Path,
    settings: Settings,
    *,
    relations: Path | None = None,
    weights: Path | None = None,
    resume: bool = False,
    advance: Advance = lambda steps, size: None,
) -> dict[str, Any]:
    """Train a net into the folder `out`: ckpt.pt, ckpt.safetensors, ckpt.json, log.csv, metrics.json, curves.png.

    With `keep_best` also the checkpoint of the highest score, in the folder best.

    Args:
        artifacts: versions of one label space.
        relations: a folder of `unify relations`, for methods that take them.
        weights: a version of `unify uncertainty`, likewise.
        resume: go on from the checkpoint in `out`; from the beginning if there is none yet.
        advance: called with (steps, 0): those done before, then 1 after each step.

    Returns:
        What metrics.json holds: {"method", "model", "steps", "loss", "miou", "iou", ..., "settings", "data"}.

    Raises:
        UnifyError: usage (2) for unknown names, and relations or weights that are missing or not taken; cannot-create
            (73) if `out` holds another run; bad-config (78) for a continuation with other settings, and a loss that is
            NaN; what reading versions and writing files raises.
    """
    started = time.perf_counter()
    method = method_named(settings.method)
    data = bind(artifacts, settings, method, relations, weights)
    storage.make_dirs(out)
    with joined(device_named(settings.device)) as group, storage.lock(out) if group.leads else nullcontext():
        there = _there(out, resume)
        group.meet()  # all have looked before the first one writes
        if settings.threads:
            torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(settings.deterministic)
        run = begin(settings, method, len(data.index.classes), group)
        if there is not None:
            _restore(run, there, settings, data, group)
        advance(run.step, 0)
        before = run.seconds
        events = runfiles.events(out, run.step) if settings.tensorboard and group.leads else None
        for step in steps(run, data, settings, method, group, out):
            run.seconds = before + time.perf_counter() - started
            _after(step, run, data, settings, method, group, out)
            if events is not None:
                events.add_scalar("loss", run.losses[-1], step)
                events.add_scalar("lr", learning_rate(settings, step - 1), step)
                runfiles.add_score(events, step, run.scores)
            advance(1, 0)
        metrics = _finish(run, data, settings, method, group, out)
        if events is not None:
            runfiles.add_score(events, run.step, run.scores)
            events.close()
        return metrics


# --- What a run begins with -------------------------------------------------------------------------------


def begin(settings: Settings, method: Method, num_classes: int, group: Group) -> Run:
    """A run before its first step. Nets of one seed are alike; what is random in training differs by process."""
    torch.manual_seed(settings.seed)
    net = build_net(settings, method, num_classes).to(group.device)
    parts = None if method.parts is None else method.parts(net, settings).to(group.device)
    if group.size > 1:
        if settings.sync_bn:
            net = synced(net, group.device)
            parts = None if parts is None else synced(parts, group.device)
        torch.manual_seed(settings.seed + group.rank)
    return Run(net, parts, optimizer_of(net, parts, settings))


def build_net(settings: Settings, method: Method, num_classes: int) -> nn.Module:
    from trainers import models

    if "+" in settings.model and not method.ensembles:
        fix = "give it one, or train uncertainty (with --set weighting=none for plain cross-entropy)"
        raise error("usage", "--model", f"{settings.method} trains one net, not {settings.model}", fix)
    chosen: dict[str, Any] = dict(method.net)
    if settings.classifier:
        chosen["classifier"] = settings.classifier
    if settings.output_stride:
        chosen["output_stride"] = settings.output_stride
    weights = "imagenet" if settings.pretrained else settings.begin_with or None
    net = models.build(settings.model, num_classes, weights=weights, **chosen)
    if settings.bn_momentum:
        for name, module in net.named_modules():
            if "backbone" in name.split(".") and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = settings.bn_momentum
    return net


def optimizer_of(net: Any, parts: nn.Module | None, settings: Settings) -> torch.optim.Optimizer:
    """Backbone and head are groups of their own, each with its factor on the learning rate; so are `parts`.

    With the option `member_lr` of a method, those of each member of an ensemble are.
    """
    from trainers.ensemble import member_groups
    from trainers.models import parameter_groups

    lr, decay = settings.lr, settings.weight_decay
    groups_of = partial(parameter_groups, lr=lr, weight_decay=decay, backbone_factor=settings.backbone_lr)
    factors: tuple[float, ...] = getattr(settings.own, "member_factors", tuple)()
    groups = member_groups(net, factors, groups_of) if factors else groups_of(net)
    if parts is not None:
        groups.append({"name": "parts", "params": list(parts.parameters()), "lr": lr, "factor": 1.0})
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr, momentum=settings.momentum, weight_decay=decay)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr, weight_decay=decay)
    return torch.optim.AdamW(groups, lr, weight_decay=decay)


def learning_rate(settings: Settings, step: int) -> float:
    """Of step 0, 1, ...: lr * (1 - step / steps)^power, at least min_lr; in the first `warmup` steps times
    (step + 1) / warmup.
    """
    warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    return warm * max(settings.lr * math.pow(1 - step / settings.steps, settings.power), settings.min_lr)


# --- Steps --------------------------------------------------------------------------------------------------


def steps(run: Run, data: Data, settings: Settings, method: Method, group: Group, out: Path) -> Iterator[int]:
    """Does the steps that are left, and yields each one's number, from 1, when it is done."""
    from unify.draws.mixtures import draw_epoch

    order = Order(
        lambda number: draw_epoch(data.schedule, settings.seed, number),
        settings.batch,
        settings.steps * settings.accumulate,
        start=run.step * settings.accumulate,
        rank=group.rank,
        world_size=group.size,
    )
    source = batches(data.samples, order, workers=settings.workers, pin_memory=group.device.type == "cuda")
    teaching = data.teaching.to(group.device)
    trainee = group.shared(Trainee(run.net, run.parts, method).train())
    while run.step < settings.steps:
        # Loaders take numbers from the global generator when they start: a run that goes on must not see that.
        with torch.random.fork_rng(devices=[]):
            parts = [next(source) for _ in range(settings.accumulate)]
        rate = learning_rate(settings, run.step)
        for parameters in run.optimizer.param_groups:
            parameters["lr"] = rate * parameters["factor"]
        run.losses.append(_update(run, trainee, parts, teaching, settings, method, group, data, out))
        run.step += 1
        yield run.step


def _update(
    run: Run,
    trainee: nn.Module,
    parts: list[Batch],
    teaching: Teaching,
    settings: Settings,
    method: Method,
    group: Group,
    data: Data,
    out: Path,
) -> float:
    """One step of the optimizer on all parts together: their loss per labelled pixel, over all processes."""
    num_classes = len(data.index.classes)
    labels = [method.labels(part, num_classes, settings.own) for part in parts]
    pixels = max(1.0, group.total(sum(int((part != 255).sum()) for part in labels)))
    normalizer = torch.tensor(pixels / group.size, device=group.device)  # gradients are averaged, sums are meant
    run.optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for part, labels_bhw in zip(parts, labels, strict=True):
        step = Step(part.to(group.device), labels_bhw.to(group.device), teaching, normalizer, settings, run.step)
        with nullcontext() if part is parts[-1] else apart(trainee):
            loss = trainee(step)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise _diverged(run, value, part, data, settings, out)
            loss.backward()
        total += value
    run.optimizer.step()
    return group.total(total) / group.size


def _diverged(run: Run, value: float, part: Batch, data: Data, settings: Settings, out: Path) -> UnifyError:
    bad = [name for name, weight in run.net.named_parameters() if not weight.isfinite().all()]
    where = f"weights are too: {bad[0]}" if bad else "weights are not"
    ids = [str(data.index.sample_id[row]) for row in part.row_b.tolist()[:2]]
    more = ", ..." if len(part.row_b) > 2 else ""
    what = f"the loss is {value} in step {run.step + 1} of {settings.steps} ({where}; images {', '.join(ids)}{more})"
    fix = f"lower the learning rate ({settings.lr:g}), or --set warmup=N; checkpoints keep what was before"
    return error("bad-config", out, what, fix)


# --- Every so often -----------------------------------------------------------------------------------------


def _after(step: int, run: Run, data: Data, settings: Settings, method: Method, group: Group, out: Path) -> None:
    last = step == settings.steps
    tenth = max(1, settings.steps // 10)
    if not last and step % (settings.evaluate_every or tenth) == 0:
        _score(run, data, settings, method, group, settings.evaluate_images)
        if settings.keep_best and is_best(run.scores):
            _save(run, data, settings, group, out / BEST)
    if not last and step % (settings.save_every or tenth) == 0:
        _save(run, data, settings, group, out)


def _score(
    run: Run, data: Data, settings: Settings, method: Method, group: Group, images: int
) -> dict[str, Any] | None:
    """Adds the mIoU of the split that is held out to the run; nothing if there is no such split."""
    rows = scored_rows(data.scored, settings, images)
    if not len(rows):
        return None
    whole, mine = Samples(data.scored, settings.view()), rows[group.rank :: group.size]
    counts = confusion_of(run.net, whole, mine, bf16=settings.precision == "bf16", activation=method.activation)
    total: dict[str, NDArray[np.int64]] = {}
    for each in group.gathered(counts):
        for source, confusion in each.items():
            total[source] = total.get(source, 0) + confusion
    found = report(total, data.index.classes)
    run.scores.append({"step": run.step, "miou": found["miou"], "images": len(rows)})
    return found


def is_best(scores: Sequence[dict[str, Any]]) -> bool:
    """Whether the last score is above all earlier ones. Only scores on as many images are compared."""
    *before, last = scores
    alike = [score["miou"] for score in before if score["images"] == last["images"] and score["miou"] is not None]
    return last["miou"] is not None and (not before or bool(alike)) and all(last["miou"] > miou for miou in alike)


def _finish(run: Run, data: Data, settings: Settings, method: Method, group: Group, out: Path) -> dict[str, Any]:
    """The last score, checkpoint and files. Of a run that was finished before: what it wrote."""
    done = runfiles.read_metrics(out)
    if done is not None and done["step"] == run.step == settings.steps:
        return done
    found = _score(run, data, settings, method, group, 0)
    if found and settings.keep_best and is_best(run.scores):
        _save(run, data, settings, group, out / BEST)
    loaded = _save(run, data, settings, group, out)
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
        "maps": data.weights,
        "weights": files.digest_of(loaded.weights),
    }
    if group.leads:
        runfiles.write_metrics(out, metrics)
    group.meet()
    return metrics


# --- On disk ------------------------------------------------------------------------------------------------


def _save(run: Run, data: Data, settings: Settings, group: Group, out: Path) -> Checkpoint:
    taxonomy = data.artifacts[0].taxonomy
    parts = {} if run.parts is None else run.parts.state_dict()
    files.refuse_not_finite({**run.net.state_dict(), **parts}, f"{out}, step {run.step}")
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
            "maps": data.weights,
            "optimizer": run.optimizer.state_dict(),
            "parts": parts,
            "random": group.gathered({"cpu": torch.get_rng_state(), **_cuda_state()}),
            "losses": torch.tensor(run.losses, dtype=torch.float64),
            "scores": run.scores,
            "seconds": run.seconds,
        },
    )
    if group.leads:
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


def _restore(run: Run, there: Checkpoint, settings: Settings, data: Data, group: Group) -> None:
    """Raises `UnifyError` (bad-config) with everything in which the continuation differs from the run."""
    training, path = there.training, there.path
    there.refuse_other_classes(data.index.classes, "the data")
    try:
        old = dict(training["settings"])
        new = settings.to_json()
        # A run from before there was a setting did what is its default.
        old = settings_of(settings.method, {}).to_json() | old
        faults = [f"{k} was {old.get(k)}, not {v}" for k, v in new.items() if k not in FREE and old.get(k) != v]
        if there.data != tuple(sorted(a.digest for a in data.artifacts)):
            faults.append("the data was another version")
        if training["relations"] != data.relations:
            faults.append("the relations were others")
        if training.get("maps", "") != data.weights:
            faults.append("the maps of --weights were others")
        if len(training["random"]) != group.size:
            faults.append(f"it was trained by {len(training['random'])} processes, not {group.size}")
        if faults:
            fix = "give the same settings as before, or choose another --out"
            raise UnifyError(*(Problem("bad-config", str(path), what, fix) for what in faults))
        files.put_weights(run.net, there)
        if run.parts is not None:
            run.parts.load_state_dict(training["parts"])
        run.optimizer.load_state_dict(training["optimizer"])
        random = training["random"][group.rank]
        torch.set_rng_state(random["cpu"])
        if "cuda" in random and torch.cuda.is_available():
            torch.cuda.set_rng_state(random["cuda"])
        run.step, run.seconds = there.step, float(training["seconds"])
        run.losses, run.scores = training["losses"].tolist(), [dict(score) for score in training["scores"]]
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as e:
        raise error("bad-artifact", path or "", f"cannot be gone on from ({e!r})", "train into another folder") from e
