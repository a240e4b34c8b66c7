"""Instance-wise uncertainty: Almeida, Dutra and Renna, arXiv 2407.12609, supplement Sections 1 and 2.

Images are stretched to 768x768 and not augmented. Standard training is the baseline, and that of the three members
which are asked how uncertain they are. Offline, their answers weigh the training of a new net; online, the three are
trained together. Epochs are the supplement's; the authors' code runs 50,000 iterations, which are 62 epochs of ACDC
and 34 of Cityscapes. Weight decay is 0, PyTorch's default, as the supplement says; the code has 1e-4. The rest that
the supplement leaves out is the code's: rates never fall below 1e-6, BatchNorm of the backbone has momentum 0.01.

The authors keep the checkpoint that is best on the validation set which they report. Here a twentieth of the training
images is held out to choose by, into runs/NAME/best; `--set holdout=0 --set evaluate_split=val` is their way.
Images and labels are scored at 768x768, as they do.

Experiment 2, Cityscapes to ACDC and back, has no training of its own: each net is scored on both datasets.
"""

from __future__ import annotations

from typing import Any

from trainers.recipes.recipe import Recipe, Test, Value

_SOURCE = "Instance-wise uncertainty (arXiv 2407.12609), supplement Sections 1 and 2"

#: Dataset -> version, nets of the supplement's Tables 1 and 2.
DATASETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "acdc": ("a-cityscapes19", ("mobilenetv2", "resnet50", "resnet101")),
    "cityscapes": ("c-cityscapes19", ("resnet101",)),
}
MEMBERS = ("resnet101", "resnet50", "mobilenetv2")
LR = {"mobilenetv2": 1e-3, "resnet50": 1e-4, "resnet101": 1e-4}
EPOCHS = 60

_COMMON: dict[str, Value] = {
    "pretrained": True,
    "classifier": "linear",
    "output_stride": 16,
    "batch": 2,
    "crop": 768,
    "stretch": True,
    "scale_min": 1.0,
    "scale_max": 1.0,
    "flip": 0.0,
    "optimizer": "adam",
    "weight_decay": 0.0,
    "backbone_lr": 0.1,
    "power": 0.9,
    "min_lr": 1e-6,
    "bn_momentum": 0.01,
    "evaluate_every": 100,
    "holdout": 0.05,
    "evaluate_split": "holdout",
    "evaluate_images": 0,
    "keep_best": True,
}
_READ = ("classifier", "holdout", "evaluate_split", "evaluate_images")


def recipes() -> tuple[Recipe, ...]:
    """12 rows: standard training of the three members on both datasets, then the weighted nets, offline and online.

    None was run here. The supplement has 0.61 -> 0.62 mIoU on ACDC and 0.69 -> 0.69 on Cityscapes with ResNet-101,
    0.39 -> 0.39 from Cityscapes to ACDC and 0.37 -> 0.47 back.
    """
    rows: list[Recipe] = []
    for dataset, (_, nets) in DATASETS.items():
        rows += [_standard(dataset, net, net in nets) for net in MEMBERS]
        rows += [_offline(dataset, net) for net in nets]
        rows.append(_online(dataset))
    return tuple(rows)


def _standard(dataset: str, net: str, in_paper: bool) -> Recipe:
    control = "" if in_paper else "no row of the paper's tables: a member of the ensemble"
    return _row(dataset, f"{net}-standard", f"standard training, {net}", "ce", net, LR[net], control=control)


def _offline(dataset: str, net: str) -> Recipe:
    members = tuple(f"uncertainty-{dataset}-{member}-standard" for member in MEMBERS)
    about = f"weights from stored maps of the three members, {net}"
    return _row(dataset, f"{net}-offline", about, "uncertainty", net, LR[net], members=members)


def _online(dataset: str) -> Recipe:
    """All members together. Its scores are of the ensemble; the supplement has those of each member."""
    lr = LR[MEMBERS[0]]
    factors = ",".join(f"{LR[member] / lr:g}" for member in MEMBERS)
    net = "+deeplabv3plus-".join(MEMBERS)
    return _row(dataset, "online", "the three nets learn together", "uncertainty", net, lr, {"member_lr": factors})


def _row(
    dataset: str,
    suffix: str,
    about: str,
    method: str,
    net: str,
    lr: float,
    own: dict[str, Value] | None = None,
    **others: Any,
) -> Recipe:
    return Recipe(
        name=f"uncertainty-{dataset}-{suffix}",
        about=f"{about}, on {dataset}",
        method=method,
        source=_SOURCE,
        data=(DATASETS[dataset][0],),
        tests=tuple(Test(version, options="--stretch 768") for version, _ in DATASETS.values()),
        settings={"model": f"deeplabv3plus-{net}", "lr": lr, **_COMMON, **(own or {})},
        epochs=EPOCHS,
        reconstruction=_READ,
        **others,
    )
