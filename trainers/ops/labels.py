"""What a label image may hold: the K classes, then the S sets ("one of these classes"), and void."""

from __future__ import annotations

import torch
from torch import Tensor

from unify.errors import UnifyError, error

VOID = 255
_NAMED = 5  #: of a list of labels that goes into a message


def count_labels(labels_bhw: Tensor, num_codes: int, void: int) -> Tensor:
    """(B, num_codes) int64, on the CPU: the pixels of each code in each image.

    `labels_bhw`: (B, H, W) of any integer type; `num_codes`: classes and sets together, codes 0..num_codes-1.

    Raises:
        UnifyError: unknown-id (65) with the labels that are neither a code nor `void`; usage (2) for floats.
    """
    if labels_bhw.dtype.is_floating_point or labels_bhw.dtype == torch.bool or labels_bhw.ndim != 3:
        what = f"labels of {labels_bhw.dtype} and shape {tuple(labels_bhw.shape)} where integers (B, H, W) are due"
        raise error("usage", "", what, "give class ids")
    if not labels_bhw.numel():
        return torch.zeros(len(labels_bhw), num_codes, dtype=torch.int64)
    # Narrow types need no look at their range: a count of 256 is as good.
    if labels_bhw.dtype == torch.uint8:
        size = 256
    else:
        low, high = (int(v) for v in labels_bhw.aminmax())
        if low < 0 or high >= max(num_codes, void + 1):
            found = torch.unique(labels_bhw)
            raise _unknown(found[(found < 0) | ((found >= num_codes) & (found != void))], num_codes, void)
        size = max(num_codes, void + 1)
    counts_bc = torch.stack([torch.bincount(label_hw.flatten(), minlength=size) for label_hw in labels_bhw]).cpu()
    stray = counts_bc.sum(0) > 0
    stray[:num_codes] = False
    if void < size:
        stray[void] = False
    if stray.any():
        raise _unknown(stray.nonzero().flatten(), num_codes, void)
    return counts_bc[:, :num_codes]


def refuse_foreign(counts_bc: Tensor, allowed_bk: Tensor, members_sk: Tensor | None = None) -> None:
    """Raises `UnifyError` (unknown-id) for labels of classes that the source of their image does not annotate.

    `counts_bc` as from `count_labels`; `allowed_bk` (B, K) bool; all on the CPU.
    """
    foreign_bc = ~allowed_bk
    if members_sk is not None:
        in_set_bs = (members_sk[None] & ~allowed_bk[:, None]).any(-1)
        foreign_bc = torch.cat([foreign_bc, in_set_bs], 1)
    wrong = ((counts_bc > 0) & foreign_bc).nonzero().tolist()
    if wrong:
        named = ", ".join(f"label {code} in image {image}" for image, code in wrong[:_NAMED])
        more = ", ..." if len(wrong) > _NAMED else ""
        what = f"{named}{more} of the batch: not in the label space of its source"
        raise error("unknown-id", "", what, "give each image the null mask of its own source")


def _unknown(found: Tensor, num_codes: int, void: int) -> UnifyError:
    values = found.tolist()
    named = ", ".join(map(str, values[:_NAMED])) + (", ..." if len(values) > _NAMED else "")
    what = f"label {named} in a batch whose labels are 0..{num_codes - 1} and {void} (void)"
    return error("unknown-id", "", what, "train with the label space of the version, and its sets if it has any")
