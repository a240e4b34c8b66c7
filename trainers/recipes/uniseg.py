"""UniSeg: Kim et al., Learning Semantic Segmentation from Multiple Datasets with Label Shifts, ECCV 2022.

Five mixtures of data, three nets, four losses. Settings are the defaults of the authors' code, as the supplement has
none; the paper may differ from them. Stage 1 trains on ImageNet weights for 150 epochs with SGD; stage 2 goes on from
its Null BCE net for 50 with AdamW, on relations learned from that net. SegFormer is trained in a single stage, on
relations of W18 (our reading: the code has no others at hand).

So class-relational BCE sees a third more images than what it is compared with. The rows that end in `-equal` are the
control: CE, BCE and Null BCE with the very same second stage, that is AdamW for 50 epochs with their own loss.
Trained in one stage, SegFormer's rows are of equal length as they are.
"""

from __future__ import annotations

from trainers.recipes.recipe import Recipe, Test, Value

_SOURCE = "UniSeg (ECCV 2022), supplement Table A-2 and the main paper's unseen tables; settings of the authors' code"

#: Letters -> version, and which splits of the four are seen.
MIXTURES: dict[str, str] = {
    "cibm": "cibm-union70",
    "cib": "cib-union28",
    "ibm": "ibm-union70",
    "cim": "cim-union70",
    "cbm": "cbm-union67",
}
#: Short name -> name in `trainers.models`, images of an update, whether it has two stages.
NETS: dict[str, tuple[str, int, bool]] = {
    "w18": ("hrnet-w18-small-v2", 32, True),
    "w48": ("hrnet-w48", 16, True),
    "segformer-b4": ("segformer-b4", 16, False),
}
LOSSES = ("ce", "bce", "null-bce", "cr-bce")
SHORT_SIDE = 1080
PROCESSES = 8

_COMMON: dict[str, Value] = {
    "pretrained": True,
    "classifier": "cosine",
    "crop": 713,
    "short_side": SHORT_SIDE,
    "scale_min": 0.5,
    "scale_max": 2.0,
    "rotation": 10.0,
    "flip": 0.5,
    "blur": 0.5,
    "power": 0.9,
    "weight_decay": 1e-4,
    "precision": "bf16",
}
_STAGE_1: dict[str, Value] = {**_COMMON, "optimizer": "sgd", "lr": 0.01, "momentum": 0.9}
_STAGE_2: dict[str, Value] = {**_COMMON, "pretrained": False, "optimizer": "adamw", "lr": 1e-3}
_SEGFORMER: dict[str, Value] = {**_COMMON, "optimizer": "adamw", "lr": 6e-5}
_READ = ("processes", "blur")  # the chance of a blur, and how many GPUs, are not known
_READ_W18 = (*_READ, "batch")  # "up to 32"
_READ_SEGFORMER = (*_READ, "batch", "classifier", "weight_decay")

_AT_1080 = f"--short-side {SHORT_SIDE}"
_SEEN = {"c": "c-cityscapes19", "i": "i-idd26", "b": "b-cityscapes19", "m": "m-mapillary65"}
_UNSEEN = (
    Test("k-cityscapes19", "train", _AT_1080),
    Test("w-cityscapes19", "train", _AT_1080),
    Test("v-camvid11", "test", _AT_1080),
)


def recipes() -> tuple[Recipe, ...]:
    """90 rows: 5 mixtures x (2 nets x (4 losses + 3 controls) + SegFormer x 4 losses).

    None was run here: real data and ImageNet weights are needed. Table A-2 has 71.5 % (W18) and 81.0 % (W48) mIoU of
    C-R BCE on Cityscapes with all four datasets.
    """
    return tuple(row for letters in MIXTURES for net in NETS for row in _rows(letters, net))


def _rows(letters: str, net: str) -> list[Recipe]:
    two_stages = NETS[net][2]
    rows = [_first(letters, net, loss) for loss in LOSSES if two_stages is False or loss != "cr-bce"]
    if two_stages:
        rows.append(_second(letters, net, "cr-bce"))
        rows += [_second(letters, net, loss) for loss in LOSSES if loss != "cr-bce"]
    return rows


def _first(letters: str, net: str, loss: str) -> Recipe:
    """Stage 1, or the only one."""
    model, images, two_stages = NETS[net]
    own = _STAGE_1 if two_stages else _SEGFORMER
    return Recipe(
        name=f"uniseg-{letters}-{net}-{loss}",
        about=f"{loss} on {letters.upper()}, {model}, " + ("stage 1" if two_stages else "single stage"),
        method=loss,
        source=_SOURCE,
        data=(MIXTURES[letters],),
        tests=_tests(letters),
        settings={"model": model, "batch": images // PROCESSES, **own},
        processes=PROCESSES,
        epochs=150,
        relations=f"uniseg-{letters}-w18-null-bce" if loss == "cr-bce" else "",
        reconstruction=(_READ_SEGFORMER if not two_stages else _READ_W18 if net == "w18" else _READ)
        + (("relations",) if loss == "cr-bce" else ()),
    )


def _second(letters: str, net: str, loss: str) -> Recipe:
    """Stage 2: of cr-bce as in the paper, of the others as a control."""
    model, first = NETS[net][0], f"uniseg-{letters}-{net}-"
    relational = loss == "cr-bce"
    return Recipe(
        name=f"uniseg-{letters}-{net}-{loss}" + ("" if relational else "-equal"),
        about=f"{loss} on {letters.upper()}, {model}, stage 2",
        method=loss,
        source=_SOURCE,
        data=(MIXTURES[letters],),
        tests=_tests(letters),
        settings={"model": model, "batch": 16 // PROCESSES, **_STAGE_2},
        processes=PROCESSES,
        epochs=50,
        begins_with=first + ("null-bce" if relational else loss),
        relations=first + "null-bce" if relational else "",
        control="" if relational else "as long as cr-bce, with the same second stage",
        reconstruction=_READ,
    )


def _tests(letters: str) -> tuple[Test, ...]:
    """The val split of all four, seen or left out, each in its own classes; then the three that nobody saw."""
    return (*(Test(version, "val", _AT_1080) for version in _SEEN.values()), *_UNSEEN)
