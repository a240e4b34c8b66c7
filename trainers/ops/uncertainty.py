"""Instance-wise uncertainty: how unsure an ensemble is of each thing that it sees, and the weights that follow.

Almeida, Dutra and Renna, Instance-wise Uncertainty for Class Imbalance in Semantic Segmentation (arXiv 2407.12609):
pixels weigh (1 + U)^2, U being the mean predictive entropy of the connected component of the ensemble's prediction
that the pixel lies in. All here are numbers, not graphs: no gradient goes through U.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.ops.components import Components, components

Map = NDArray[np.float32]  # (H, W), nats
Ids = NDArray[np.uint8]  # (H, W)

TINY = 1e-10  #: inside the logarithm, as in the authors' code


# --- Of a pixel ---------------------------------------------------------------------------------------------


@torch.no_grad()
def mean_softmax(logits: Sequence[Tensor]) -> Tensor:
    """The mean of the members' softmax: each (B, K, H, W) logits -> (B, K, H, W) float32, sums of 1."""
    total = logits[0].float().softmax(1)
    for more in logits[1:]:
        total += more.float().softmax(1)
    return total.div_(len(logits))


@torch.no_grad()
def predictive_entropy(p_bkhw: Tensor) -> Tensor:
    """(B, H, W) float32, 0..ln K nats: -sum_k p_k ln(p_k + 1e-10) of probabilities (B, K, H, W)."""
    return -(p_bkhw * (p_bkhw + TINY).log()).sum(1)


# --- Of what a pixel lies in --------------------------------------------------------------------------------


def instance_uncertainty(entropy_hw: Map, prediction_hw: Ids) -> Map:
    """(H, W) float32: the mean entropy of the 8-connected component of the predicted class that a pixel lies in.

    Of all classes, things and stuff, and of any size. Sums are float64, in the order of rows.
    """
    found = components(prediction_hw)
    return found.painted(found.means(entropy_hw)[0])


def class_uncertainty(entropy_hw: Map, prediction_hw: Ids) -> Map:
    """(H, W) float32: the mean entropy over all pixels of the image of the predicted class. A control."""
    sum_c = np.bincount(prediction_hw.ravel(), entropy_hw.ravel(), 256)
    size_c = np.bincount(prediction_hw.ravel(), minlength=256)
    return (sum_c / np.maximum(size_c, 1)).astype(np.float32)[prediction_hw]


def shuffled_uncertainty(entropy_hw: Map, prediction_hw: Ids, rng: np.random.Generator) -> Map:
    """(H, W) float32: the components' mean entropies, dealt out again among the components at random. A control.

    Whether large or small, any component may get any other's: what large ones have is then what small ones had.
    """
    found = components(prediction_hw)
    return found.painted(rng.permutation(found.means(entropy_hw)[0]))


#: How U follows from (entropy, prediction, label, random numbers); "instance" is the paper's, the others controls.
MAPS: dict[str, Callable[[Map, Ids, Ids, np.random.Generator], Map]] = {
    "instance": lambda entropy, prediction, label, rng: instance_uncertainty(entropy, prediction),
    "pixel": lambda entropy, prediction, label, rng: entropy,
    "class": lambda entropy, prediction, label, rng: class_uncertainty(entropy, prediction),
    "truth": lambda entropy, prediction, label, rng: instance_uncertainty(entropy, label),
    "shuffled": lambda entropy, prediction, label, rng: shuffled_uncertainty(entropy, prediction, rng),
}


def weights_of(uncertainty: Any) -> Any:
    """(1 + U)^2: 1..(1 + ln K)^2, which is 15.5 for 19 classes. An array or a tensor."""
    return (1 + uncertainty) ** 2


__all__ = [
    "MAPS",
    "Components",
    "class_uncertainty",
    "components",
    "instance_uncertainty",
    "mean_softmax",
    "predictive_entropy",
    "shuffled_uncertainty",
    "weights_of",
]
