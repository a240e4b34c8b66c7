"""SeeThroughNet: Han, Yoo and Oh, Resurrection of Auxiliary Loss by Preserving Class Probability Information, 2022.

Supplement, Section A.2. The mixture (40 % fine + val, 40 % Mapillary, 20 % coarse, these two class-uniform) is
`unify mix seethroughnet`. The authors' coarse labels were made by a model and are not published; Cityscapes' own coarse
ones stand in for them. The chances of blur and colour changes are our reading; so is the weight of the CPP losses,
which the supplement has for other nets. The net is partly a reconstruction, and what it learns too: other readings are
nets (`--model seethrough-hrnet-w48-relative` and `-mean`) and options (`--set aux_scales=all`, `aux_sizes`, `aux_per`):
see `trainers.seethrough` and `trainers.methods.seethrough`.

A net that has learned Cityscapes' val split, as for the benchmark, cannot be scored on it. The rows `seethrough-val`
are for scores: Table 3 is of nets "trained with the Cityscapes train and coarse set, and evaluated on the validation
set", in shares that are not said; coarse images are left out here, and half of the draws aim at classes.
"""

from __future__ import annotations

from dataclasses import replace

from trainers.recipes.recipe import Recipe, Test, Value

_SOURCE = "SeeThroughNet (CVPR 2022), supplement Section A.2"
PROCESSES = 8  #: "TESLA A100 8 GPUs"

_COMMON: dict[str, Value] = {
    "batch": 1,
    "crop": 1024,
    "crop_width": 2048,
    "optimizer": "sgd",
    "lr": 0.01,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "power": 2.0,
    "scale_min": 0.5,
    "scale_max": 2.0,
    "flip": 0.5,
    "photometric": 0.5,
    "blur": 0.5,
    "auxiliary": 0.4,
    "aux_weight": 0.6,
    "unfused_weight": 0.05,
    "classifier": "linear",
    "pretrained": True,
    "precision": "bf16",
}
#: The weights 0.4 and 0.05 are of the code that it builds on, 0.6 of the paper's other nets.
_READ = ("photometric", "blur", "momentum", "auxiliary", "aux_weight", "unfused_weight", "classifier", "precision")


def recipes() -> tuple[Recipe, ...]:
    """3 rows: all data as for the benchmark; fine train alone, with CPP losses and without.

    None was run here: HRNet-W48 on 2048x1024 crops needs eight large GPUs. Table 3 has 87.08 % mIoU of val with coarse
    data, and a standard deviation of 0.088 over ten runs.
    """
    whole = Recipe(
        name="seethrough",
        about="the net of the benchmark; val is learned too, so that its score on it means nothing",
        method="seethrough",
        source=_SOURCE,
        data=("cm-cityscapes19", "coarse"),
        tests=(Test("cm-cityscapes19"),),
        settings={"model": "seethrough-hrnet-w48", "mixture": "seethroughnet", **_COMMON},
        processes=PROCESSES,
        epochs=175,
        before=("unify mix seethroughnet cm-cityscapes19 coarse",),
        reconstruction=_READ,
    )
    scored = replace(
        whole,
        name="seethrough-val",
        about="fine train alone",
        source=f"{_SOURCE} and Table 3",
        data=("c-cityscapes19-centroids",),
        tests=(Test("c-cityscapes19-centroids"),),
        settings={**whole.settings, "mixture": "class-uniform"},
        before=(),
        control="a score on images that were not learned",
        reconstruction=(*_READ, "data", "mixture"),
    )
    without = replace(
        scored,
        name="seethrough-val-no-cpp",
        about="fine train alone, without CPP losses",
        settings={**scored.settings, "aux_weight": 0.0},
        control="what the CPP losses add",
    )
    return whole, scored, without
