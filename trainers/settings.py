"""The settings of a run: what `unify train` takes as options and `--set key=value`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainers.augment import Augment, stretched
from unify.errors import Problem, UnifyError
from unify.spaces import did_you_mean

OPTIMIZERS = ("sgd", "adam", "adamw")
PRECISIONS = ("float32", "bf16", "float16")
HOLDOUT = "holdout"  #: as `evaluate_split`: the images held out of training


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run does. The defaults are of Streets and small nets, no paper's.

    method, model: names. steps: updates of the weights. batch: images in a forward pass; an update sees
        batch * accumulate. crop: side of the square crops, pixels; with crop_width, their height.
    optimizer: sgd, adam or adamw. lr: at the beginning, of the head; the backbone has lr * backbone_lr. It falls as
        (1 - step / steps)^power, after `warmup` steps in which it rises linearly, and not below min_lr.
    begin_with: file of the weights to begin with, of the same net or its backbone; "" for none. pretrained: begin with
        ImageNet's, of the backbone. bn_momentum: of the backbone's BatchNorms; 0 leaves it as it is (0.1, mostly).
    auxiliary: weight of the loss of a second set of logits, of nets that have one (OCR).
    precision: bf16 runs the net in bfloat16 where torch.autocast does; weights and losses stay float32. float16, for
        GPUs without bfloat16, scales losses besides, and passes over updates whose gradients overflow; scores in
        training are in float32 then.
    clip: gradients of an update that are longer than this, all together, are brought to it; 0 leaves them as they are.
    decay_all: let weight decay act on norms and biases too, on what has one axis.
    channels_last: keep images and maps in that order of memory, in which GPUs (with bf16 or float16) convolve faster.
    scale_min ... blur: see `trainers.augment.Augment`. short_side: 0 leaves images as they are. stretch: no crops, but
        whole images, each side brought to that of a crop; scores in training are of images and labels so stretched.
    classifier: cosine or linear; "" is what the method has, else cosine. output_stride: of the backbone; 0: the usual.
    seed: of weights, draws and everything random. workers: processes that read and decode.
    save_every: steps between checkpoints, evaluate_every: between scores on `evaluate_split`; 0 for a tenth of the
        run. evaluate_images: of those scores, spread over the split; 0 for all. The last score is of all.
    device: "auto", "cpu", "cuda". deterministic: refuse operations that give other bits each time (on a GPU).
    threads: of torch; 0 leaves it as it is. sync_bn: with several processes, let BatchNorm see all of their batches.
    tensorboard: write its event files too, into OUT/tensorboard.
    holdout: share of the training images that are not drawn; with evaluate_split=holdout they are what is scored.
    keep_best: keep the checkpoint with the highest score in OUT/best.
    cache: GiB of memory for decoded images, of all workers together; those that find no place are decoded each time.
    own: the method's own options (`Method.options`); its defaults if None.
    """

    method: str
    model: str = "tiny"
    steps: int = 1000
    batch: int = 4
    crop: int = 256
    crop_width: int = 0
    mixture: str = "uniseg"
    optimizer: str = "adamw"
    lr: float = 1e-3
    backbone_lr: float = 1.0
    power: float = 0.9
    min_lr: float = 0.0
    warmup: int = 0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay_all: bool = True
    clip: float = 0.0
    auxiliary: float = 0.4
    accumulate: int = 1
    precision: str = "float32"
    channels_last: bool = False
    scale_min: float = 0.5
    scale_max: float = 2.0
    short_side: int = 0
    stretch: bool = False
    flip: float = 0.5
    rotation: float = 0.0
    photometric: float = 0.0
    blur: float = 0.0
    seed: int = 0
    workers: int = 0
    save_every: int = 0
    evaluate_every: int = 0
    evaluate_images: int = 32
    evaluate_split: str = "val"
    device: str = "auto"
    deterministic: bool = False
    threads: int = 0
    pretrained: bool = False
    begin_with: str = ""
    bn_momentum: float = 0.0
    sync_bn: bool = True
    classifier: str = ""
    output_stride: int = 0
    tensorboard: bool = False
    holdout: float = 0.0
    keep_best: bool = False
    cache: float = 0.0
    own: Any = None

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch": 1, "crop": 8, "accumulate": 1}
        least |= dict.fromkeys(
            (
                "warmup",
                "crop_width",
                "short_side",
                "seed",
                "workers",
                "save_every",
                "evaluate_every",
                "evaluate_images",
                "threads",
                "output_stride",
            ),
            0,
        )
        faults = [
            f"{name} is {getattr(self, name)}, not at least {n}" for name, n in least.items() if getattr(self, name) < n
        ]
        positive = {"lr": self.lr, "backbone_lr": self.backbone_lr}
        faults += [f"{name} is {value:g}, not above 0" for name, value in positive.items() if not value > 0]
        faults += [
            f"{name} is {getattr(self, name):g}, not at least 0"
            for name in ("power", "min_lr", "momentum", "weight_decay", "clip", "auxiliary", "cache")
            if not getattr(self, name) >= 0
        ]
        if not 0 <= self.bn_momentum <= 1:
            faults.append(f"bn_momentum is {self.bn_momentum:g}, not in 0..1")
        if self.begin_with and self.pretrained:
            faults.append("begin_with and pretrained are two kinds of weights to begin with: leave one out")
        if not 0 <= self.holdout < 1:
            faults.append(f"holdout is {self.holdout:g}, not a share in 0..1")
        if self.evaluate_split == HOLDOUT and not self.holdout:
            faults.append("evaluate_split is holdout, and nothing is held out: set holdout too, to 0.05 say")
        if self.optimizer not in OPTIMIZERS:
            faults.append(f"there is no optimizer '{self.optimizer}'; known: {', '.join(OPTIMIZERS)}")
        if self.precision not in PRECISIONS:
            faults.append(f"there is no precision '{self.precision}'; known: {', '.join(PRECISIONS)}")
        problems = [Problem("bad-config", "settings", what, "correct it") for what in faults]
        try:
            self.augment()
        except UnifyError as e:
            problems += e.problems
        options = options_of(self.method)
        if self.own is None and options is not None:
            object.__setattr__(self, "own", options())
        stride = getattr(self.own, "label_stride", 1)
        if any(side % stride for side in self.crop_hw):
            what = f"crops of {self.crop_hw[0]} x {self.crop_hw[1]} are no multiples of label_stride ({stride})"
            problems.append(Problem("bad-config", "settings", what, "choose another crop, or label_stride"))
        if problems:
            raise UnifyError(*problems)

    def augment(self) -> Augment:
        return Augment(
            self.crop_hw,
            short_side=self.short_side or None,
            scale=(self.scale_min, self.scale_max),
            flip=self.flip,
            rotation_deg=self.rotation,
            photometric=self.photometric,
            blur=self.blur,
            stretch=self.stretch,
        )

    def view(self) -> Augment | None:
        """How images are shown when the net is scored in training; None as they are."""
        return stretched(*self.crop_hw) if self.stretch else None

    @property
    def crop_hw(self) -> tuple[int, int]:
        return self.crop, self.crop_width or self.crop

    def to_json(self) -> dict[str, Any]:
        """All by name, those of the method among them."""
        plain = dataclasses.asdict(self)
        own = plain.pop("own") or {}
        return {**plain, **own}


#: What may differ between a run and its continuation: it changes no weight.
FREE = (
    *("workers", "save_every", "evaluate_every", "evaluate_images", "evaluate_split", "device", "threads"),
    *("tensorboard", "keep_best", "cache"),
)


def options_of(method: str) -> type[Any] | None:
    """What a method can be told besides, as a dataclass; None for nothing, and for a method that is not there."""
    from trainers.methods import METHODS

    return METHODS[method].options if method in METHODS else None


def settings_of(method: str, given: Mapping[str, Any]) -> Settings:
    """Settings from names and values; text is read as what the setting is ("0.1", "true").

    Raises `UnifyError` (bad-config) with every unknown name, unreadable value, and value that cannot be.
    """
    options = options_of(method)
    own = {f.name: f for f in dataclasses.fields(options)} if options else {}
    fields = {f.name: f for f in dataclasses.fields(Settings) if f.name not in ("method", "own")} | own
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in given.items():
        if name not in fields:
            what = f"there is no setting '{name}'{did_you_mean(name, fields)}"
            problems.append(Problem("bad-config", "--set", what, f"known: {', '.join(fields)}"))
            continue
        try:
            values[name] = _read(value, type(fields[name].default))
        except ValueError:
            kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(fields[name].default)]
            problems.append(Problem("bad-config", "--set", f"{name}={value} is not {kind}", "correct it"))
    chosen, found = None, None
    try:
        chosen = options(**{name: values.pop(name) for name in list(values) if name in own}) if options else None
    except UnifyError as e:
        problems += e.problems
    try:
        found = Settings(method, **values, own=chosen)
    except UnifyError as e:
        problems += e.problems
    if problems:
        raise UnifyError(*problems)
    assert found is not None
    return found


def _read(value: Any, kind: type) -> Any:
    if not isinstance(value, str):
        return kind(value)
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ValueError(value)
        return value.lower() == "true"
    return kind(value)
