"""CPP pooling: Han, Yoo and Oh, Resurrection of Auxiliary Loss by Preserving Class Probability Information, 2022.

Supplement, Section A.1: "seven popular semantic segmentation models" on four datasets, trained with MMSegmentation. It
names PSPNet and DeepLabV3+; the other five are our reading, and so are the backbones of all (its Figure 3 shows
ResNet-101 and HRNetV2-W48), the output stride of 8, and which images of VOC and which classes of Context and NYU are
taken. Crops are given as width x height there.

Each net has three rows: without auxiliary heads (the paper's baseline), with heads and CPP pooling, and, as a control,
with the same heads and cross-entropy on the nearest labels, so that the comparison is of pooling alone.
"""

from __future__ import annotations

from trainers.recipes.recipe import Recipe, Test, Value

_SOURCE = "CPP pooling (CVPR 2022), supplement Section A.1"
PROCESSES = 8  #: "TESLA A100 8 GPUs"
AUX_WEIGHT = 0.6  #: Table 1: "we chose 0.6 for the CPP experiments"

#: Dataset -> version, split that is scored, iterations, settings.
DATASETS: dict[str, tuple[str, str, int, dict[str, Value]]] = {
    "cityscapes": (
        "c-cityscapes19", "val", 80_000,
        {"lr": 0.01, "weight_decay": 5e-4, "batch": 2, "crop": 512, "crop_width": 1024},
    ),
    "voc": ("p-voc21", "val", 40_000, {"lr": 0.01, "weight_decay": 5e-4, "batch": 2, "crop": 512}),
    "context": ("x-context59", "val", 40_000, {"lr": 0.004, "weight_decay": 1e-4, "batch": 2, "crop": 480}),
    "nyu": (
        "n-nyu40", "test", 40_000,
        {"lr": 0.004, "weight_decay": 1e-4, "batch": 4, "crop": 480, "crop_width": 640, "evaluate_split": "test"},
    ),
}  # fmt: skip
#: Name -> name in `trainers.models`, and output stride where it can be chosen.
NETS: dict[str, tuple[str, int]] = {
    "pspnet": ("pspnet-resnet101", 8),
    "deeplabv3plus": ("deeplabv3plus-resnet101", 8),
    "fcn": ("fcn-resnet101", 8),
    "deeplabv3": ("deeplabv3-resnet101", 8),
    "upernet": ("upernet-resnet101", 0),
    "ocrnet": ("hrnet-w48-ocr", 0),
    "hrnet": ("hrnet-w48", 0),
}
NAMED = ("pspnet", "deeplabv3plus")  #: in the supplement

_COMMON: dict[str, Value] = {
    "pretrained": True,
    "classifier": "linear",
    "optimizer": "sgd",
    "momentum": 0.9,
    "power": 0.9,
    "scale_min": 0.5,
    "scale_max": 2.0,
    "flip": 0.5,
    "photometric": 0.5,
}
_READ = ("model", "output_stride", "classifier", "momentum", "photometric")
_READ_DATA = {"cityscapes": (), "voc": ("data",), "context": ("data",), "nyu": ("data", "evaluate_split")}


def recipes() -> tuple[Recipe, ...]:
    """84 rows: 4 datasets x 7 nets x (baseline, CPP, nearest).

    None was run here. Tables 1 and 2 have PSPNet on Cityscapes (81.07 % mIoU with the weight 0.6), PSPNet and
    DeepLabV3+ on VOC (77.03 -> 79.08 % and 77.76 -> 79.65 %, means of ten runs). The ablation of Table 1 is

        unify train cpp --recipe cpp-cityscapes-pspnet --data c-cityscapes19 --out runs/table1
            --sweep aux_weight=0.1:1:0.1
    """
    return tuple(row for dataset in DATASETS for net in NETS for row in _rows(dataset, net))


def _rows(dataset: str, net: str) -> list[Recipe]:
    version, split, steps, own = DATASETS[dataset]
    model, stride = NETS[net]
    settings: dict[str, Value] = {"model": model, **own, **_COMMON}
    if stride:
        settings["output_stride"] = stride
    heads: dict[str, Value] = {**settings, "aux_weight": AUX_WEIGHT}

    def row(suffix: str, method: str, about: str, settings: dict[str, Value], control: str = "") -> Recipe:
        read = tuple(name for name in _READ if name in settings)
        return Recipe(
            name=f"cpp-{dataset}-{net}{suffix}",
            about=f"{about}, {model} on {dataset}",
            method=method,
            source=_SOURCE,
            data=(version,),
            tests=(Test(version, split),),
            settings=settings,
            processes=PROCESSES,
            steps=steps,
            control=control,
            reconstruction=(*read, *_READ_DATA[dataset], *(("net",) if net not in NAMED else ())),
        )

    return [
        row("-baseline", "ce", "the paper's baseline", settings),
        row("", "cpp", "CPP pooling", heads),
        row("-nearest", "cpp", "heads on nearest labels", {**heads, "aux": "nearest"}, "the same heads without CPP"),
    ]
