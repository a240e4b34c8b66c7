"""Instance-wise uncertainty as it is written: class after class, with OpenCV's components. Slow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def instance_uncertainty(entropy_hw: NDArray[np.float32], prediction_hw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What `trainers.ops.uncertainty.instance_uncertainty` gives."""
    uncertainty_hw = np.zeros(entropy_hw.shape, np.float32)
    for class_id in np.unique(prediction_hw):
        mask_hw = prediction_hw == class_id
        _, component_hw = cv2.connectedComponents(mask_hw.astype(np.uint8), connectivity=8)
        component_n = component_hw[mask_hw]
        mean_c = np.bincount(component_n, entropy_hw[mask_hw]) / np.maximum(np.bincount(component_n), 1)
        uncertainty_hw[mask_hw] = mean_c[component_n]
    return uncertainty_hw
