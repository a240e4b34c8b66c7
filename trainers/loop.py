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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import checkpoint as files
from trainers import runfiles
from trainers.bound import bind, scored_rows
from trainers.checkpoint import Checkpoint
from trainers.data import Batch, Order, Samples, batches
from trainers.distributed import apart, joined
from trainers.evaluate import confusion_of, device_named, report
from trainers.methods import Step, method_named
from trainers.methods.method import VOID
from trainers.ops.labels import count_labels
from trainers.settings import FREE, Settings, settings_of
from trainers.start import Job, Run, begin, learning_rate
from trainers.switches import of_any_size, switched
from trainers.trainee import Trainee
from unify import storage
from unify.errors import Problem, UnifyError, error

if TYPE_CHECKING:
    from unify.artifact import Artifact

Advance = Callable[[int, int], None]
BEST = "best"  #: folder of the checkpoint with the highest score


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
        UnifyError: usage (2) for unknown names, relations or weights that are missing or not taken, and what device
            or torch cannot do; cannot-create (73) if `out` holds another run; bad-config (78) for a continuation with
            other settings, and a loss that is NaN; what reading versions and writing files raises.
    """
    started = time.perf_counter()
    method = method_named(settings.method)
    data = bind(artifacts, settings, method, relations, weights)
    storage.make_dirs(out)
    device = device_named(settings.device, "--set device")
    with switched(settings), joined(device) as group, storage.lock(out) if group.leads else nullcontext():
        job = Job(settings, method, data, group, out)
        there = _there(out, resume)
        group.meet()  # all have looked before the first one writes
        run = begin(job)
        if there is not None:
            _restore(run, there, job)
        advance(run.step, 0)
        before = run.seconds
        events = runfiles.events(out, run.step) if settings.tensorboard and group.leads else None
        for step in steps(run, job):
            run.seconds = before + time.perf_counter() - started
            _after(step, run, job)
            if events is not None:
                events.add_scalar("loss", run.losses[-1], step)
                events.add_scalar("lr", learning_rate(settings, step - 1), step)
                runfiles.add_score(events, step, run.scores)
            advance(1, 0)
        metrics = _finish(run, job)
        if events is not None:
            runfiles.add_score(events, run.step, run.scores)
            events.close()
        return metrics


# --- Steps --------------------------------------------------------------------------------------------------


def steps(run: Run, job: Job) -> Iterator[int]:
    """Does the steps that are left, and yields each one's number, from 1, when it is done."""
    from unify.draws.mixtures import draw_epoch

    settings, data, group = job.settings, job.data, job.group
    order = Order(
        lambda number: draw_epoch(data.schedule, settings.seed, number),
        settings.batch,
        settings.steps * settings.accumulate,
        start=run.step * settings.accumulate,
        rank=group.rank,
        world_size=group.size,
    )
    source = batches(data.samples, order, workers=settings.workers, pin_memory=group.device.type == "cuda")
    trainee = group.shared(Trainee(run.net, run.parts, job.method).train())
    while run.step < settings.steps:
        # Loaders take numbers from the global generator when they start: a run that goes on must not see that.
        with torch.random.fork_rng(devices=[]):
            parts = [next(source) for _ in range(settings.accumulate)]
        rate = learning_rate(settings, run.step)
        for parameters in run.optimizer.param_groups:
            parameters["lr"] = rate * parameters["factor"]
        run.losses.append(_update(run, trainee, parts, job))
        run.step += 1
        yield run.step


def _update(run: Run, trainee: nn.Module, parts: list[Batch], job: Job) -> float:
    """One step of the optimizer on all parts together: their loss per labelled pixel, over all processes.

    What has to be known of the labels is asked on the CPU, and the loss is read last, so that a GPU is waited for
    once.
    """
    settings, method, group, device = job.settings, job.method, job.group, job.group.device
    num_classes, teaching = len(job.data.index.classes), job.data.teaching
    labels = [method.labels(part, num_classes, settings.own) for part in parts]
    counts = [count_labels(labels_bhw, method.codes(num_classes, teaching), VOID) for labels_bhw in labels]
    pixels = group.summed(sum(int(counts_bc.sum()) for counts_bc in counts))
    normalizer = (pixels.clamp(min=1) / group.size).float()  # gradients are averaged, sums are meant
    run.optimizer.zero_grad(set_to_none=True)
    losses = []
    for part, labels_bhw, counts_bc in zip(parts, labels, counts, strict=True):
        batch = part.to(device, job.memory_format)
        if device.type != "cpu":  # once more, there: what was made here would not be in pinned memory
            labels_bhw = method.labels(batch, num_classes, settings.own)
        step = Step(batch, labels_bhw, teaching, normalizer, settings, run.step, counts_bc)
        with nullcontext() if part is parts[-1] else apart(trainee):
            loss = trainee(step)
            run.scaler.scale(loss).backward()
        losses.append(loss.detach())
    values: list[float] = torch.stack(losses).tolist()
    total = group.total(sum(values)) / group.size
    if not math.isfinite(total):
        bad = [part for part, value in zip(parts, values, strict=True) if not math.isfinite(value)]
        raise _diverged(run, total, bad, job)
    if settings.clip:
        run.scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(trainee.parameters(), settings.clip)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    return total


def _diverged(run: Run, value: float, parts: Sequence[Batch], job: Job) -> UnifyError:
    """`parts`: those of this process that are to blame."""
    settings = job.settings
    bad = [name for name, weight in run.net.named_parameters() if not weight.isfinite().all()]
    where = f"weights are too: {bad[0]}" if bad else "weights are not"
    ids = [str(job.data.index.sample_id[row]) for part in parts for row in part.row_b.tolist()]
    images = f"; images {', '.join(ids[:2])}{', ...' if len(ids) > 2 else ''}" if ids else ""
    what = f"the loss is {value} in step {run.step + 1} of {settings.steps} ({where}{images})"
    fix = f"lower the learning rate ({settings.lr:g}), or --set warmup=N or clip=1; checkpoints keep what was before"
    return error("bad-config", job.out, what, fix)


# --- Every so often -----------------------------------------------------------------------------------------


def _after(step: int, run: Run, job: Job) -> None:
    settings = job.settings
    last = step == settings.steps
    tenth = max(1, settings.steps // 10)
    if not last and step % (settings.evaluate_every or tenth) == 0:
        _score(run, job, settings.evaluate_images)
        if settings.keep_best and is_best(run.scores):
            _save(run, job, job.out / BEST)
    if not last and step % (settings.save_every or tenth) == 0:
        _save(run, job, job.out)


def _score(run: Run, job: Job, images: int) -> dict[str, Any] | None:
    """Adds the mIoU of the split that is held out to the run; nothing if there is no such split."""
    settings, data, group = job.settings, job.data, job.group
    rows = scored_rows(data.scored, settings, images)
    if not len(rows):
        return None
    whole, mine = Samples(data.scored, settings.view()), rows[group.rank :: group.size]
    bf16, activation = settings.precision == "bf16", job.method.activation
    with of_any_size():
        counts = confusion_of(run.net, whole, mine, bf16=bf16, activation=activation)
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


def _finish(run: Run, job: Job) -> dict[str, Any]:
    """The last score, checkpoint and files. Of a run that was finished before: what it wrote."""
    settings, out = job.settings, job.out
    done = runfiles.read_metrics(out)
    if done is not None and done["step"] == run.step == settings.steps:
        return done
    found = _score(run, job, 0)
    if found and settings.keep_best and is_best(run.scores):
        _save(run, job, out / BEST)
    loaded = _save(run, job, out)
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
        "relations": job.data.relations,
        "maps": job.data.weights,
        "weights": files.digest_of(loaded.weights),
    }
    if job.group.leads:
        runfiles.write_metrics(out, metrics)
    job.group.meet()
    return metrics


# --- On disk ------------------------------------------------------------------------------------------------


def _save(run: Run, job: Job, out: Path) -> Checkpoint:
    settings, data, group = job.settings, job.data, job.group
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
            "scaler": run.scaler.state_dict(),
            "random": group.gathered({"cpu": torch.get_rng_state(), **_cuda_state(group.device)}),
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


def _cuda_state(device: torch.device) -> dict[str, Tensor]:
    return {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}


def _there(out: Path, resume: bool) -> Checkpoint | None:
    if not (out / files.PT).exists():
        return None
    if not resume:
        raise error("cannot-create", out, "holds a run already", "go on with --resume, or choose another --out")
    return files.load(out / files.PT)


def _restore(run: Run, there: Checkpoint, job: Job) -> None:
    """Raises `UnifyError` (bad-config) with everything in which the continuation differs from the run."""
    settings, data, group = job.settings, job.data, job.group
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
        run.scaler.load_state_dict(training.get("scaler", {}))  # runs from before it was saved have none
        random = training["random"][group.rank]
        torch.set_rng_state(random["cpu"])
        if "cuda" in random and group.device.type == "cuda":
            torch.cuda.set_rng_state(random["cuda"], group.device)
        run.step, run.seconds = there.step, float(training["seconds"])
        run.losses, run.scores = training["losses"].tolist(), [dict(score) for score in training["scores"]]
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as e:
        raise error("bad-artifact", path or "", f"cannot be gone on from ({e!r})", "train into another folder") from e
