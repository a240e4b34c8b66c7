"""Streets: an embedded world of street scenes, written as each source would have it.

A scene is laid out in metres (`layout`), painted far to near by one function a kind of thing (`draw`),
photographed with its source's look (`looks`, `render`), annotated with that source's classes
(`concepts`, `annotate`, `coarse`), and written in its true layout (`layouts`, `write`). Everything follows
from a seed, to the byte. Datasets that show no streets are written, too, as a world of `shapes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify.sample.write import write_streets

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["render_scene", "write_streets"]


def render_scene(
    source: str, seed: int = 0, index: int = 0, *, kind: str | None = None, width: int | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """One scene as `source` sees it: image (H, W, 3) uint8 RGB, and concepts (H, W) uint8.

    source: a name such as "cityscapes". kind: a kind of street (`layout.kinds.KINDS`), dealt by weight
    where None. width: in pixels, the source's usual one where None. A concept is an index into
    `concepts.load_concepts()`.
    """
    from dataclasses import replace

    from unify.sample.looks import LOOKS
    from unify.sample.world import deal, render_card

    card = deal(source, "scene", index + 1, seed, LOOKS[source].small, kind=kind)[index]
    if width is not None:
        card = replace(card, size=(width, round(width * card.size[1] / card.size[0])))
    rendering = render_card(card)
    return rendering.image_hw3, rendering.concept_hw()
