"""DropClass: Chu, Kim and Han, Learning Debiased and Disentangled Representations for Semantic Segmentation, 2021.

Supplement, Section E and Table E-3. Weight decay and momentum are those of the configurations of HRNet's code that it
refers to. The paper trains DropClass twice as long as its baselines; the rows that end in `-baseline-equal` are the
control, a baseline of DropClass's length, which the paper lacks. HRNet's fixed weights of Cityscapes' classes (0.837
to 1.153), which that code has in its cross-entropy, are left out of all rows alike: the paper does not name them, and
a mean divided by the weights of a part's pixels is not that of the update, which here is the sum of its parts.
"""

from __future__ import annotations

from trainers.recipes.recipe import Recipe, Test, Value

_SOURCE = "DropClass (NeurIPS 2021), supplement Table E-3 and Section E"
PROCESSES = 4  #: "four Quadro RTX 8000 GPUs"

#: Dataset -> version, settings of all nets, epochs of a baseline, and of DropClass.
DATASETS: dict[str, tuple[str, dict[str, Value], int, int]] = {
    "cityscapes": ("c-cityscapes19", {"crop": 512, "crop_width": 1024, "weight_decay": 5e-4}, 484, 968),
    "voc": ("p-voc20", {"crop": 480, "weight_decay": 1e-4}, 200, 400),
}
#: Name in the paper -> name in `trainers.models`.
NETS = {
    "hrnetv1": "hrnet-w18-small-v1",
    "hrnetv2": "hrnet-w18-small-v2",
    "deeplabv3": "deeplabv3-mobilenetv3",
}
#: Table E-3: dataset, net -> images of an update, learning rate.
TABLE_E3: dict[tuple[str, str], tuple[int, float]] = {
    ("cityscapes", "hrnetv1"): (48, 0.04),
    ("cityscapes", "hrnetv2"): (48, 0.04),
    ("cityscapes", "deeplabv3"): (12, 0.01),
    ("voc", "hrnetv1"): (64, 0.016),
    ("voc", "hrnetv2"): (64, 0.016),
    ("voc", "deeplabv3"): (48, 0.012),
}

_COMMON: dict[str, Value] = {
    "pretrained": True,
    "classifier": "linear",
    "optimizer": "sgd",
    "momentum": 0.9,
    "power": 0.9,
    "scale_min": 0.5,
    "scale_max": 2.0,
    "flip": 0.5,
}
_READ = {
    "cityscapes": (),
    "voc": ("weight_decay", "data"),  # Pascal Context's in HRNet's code; which images of VOC is not said
}


def recipes() -> tuple[Recipe, ...]:
    """18 rows: 2 datasets x 3 nets x (baseline, DropClass, baseline of DropClass's length).

    DeepLabV3 has MobileNetV3 here; VOC is without background. Time on the authors' four GPUs is not known; none of
    them was run here.
    """
    return tuple(row for dataset, net in TABLE_E3 for row in _rows(dataset, net))


def _rows(dataset: str, net: str) -> list[Recipe]:
    version, own, short, long = DATASETS[dataset]
    images, lr = TABLE_E3[dataset, net]
    settings = {"model": NETS[net], "batch": images // PROCESSES, "lr": lr, **own, **_COMMON}

    def row(suffix: str, method: str, epochs: int, about: str, control: str = "") -> Recipe:
        return Recipe(
            name=f"dropclass-{dataset}-{net}{suffix}",
            about=f"{about}, {NETS[net]} on {dataset}",
            method=method,
            source=_SOURCE,
            data=(version,),
            tests=(Test(version),),
            settings=settings,
            processes=PROCESSES,
            epochs=epochs,
            control=control,
            reconstruction=_READ[dataset],
        )

    return [
        row("-baseline", "ce", short, "the paper's baseline"),
        row("", "dropclass", long, "DropClass"),
        row("-baseline-equal", "ce", long, "a baseline of DropClass's length", "as long as DropClass"),
    ]
