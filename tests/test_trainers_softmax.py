"""Softmax losses and the cosine classifier: against loops and torch's own."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from trainers.ops.cosine import CosineClassifier, cosine_logits  # noqa: E402
from trainers.ops.softmax import cross_entropy, merged_softmax, nll_plus  # noqa: E402
from unify.errors import UnifyError  # noqa: E402

from .test_trainers_bce import VOID, loss_and_gradient, random_case  # noqa: E402


def random_sets(seed: int, labels, classes: int, count: int = 3):
    """Labels of which some are sets, and the members of these."""
    rng = torch.Generator().manual_seed(seed)
    members = torch.rand(count, classes, generator=rng) < 0.5
    members[:, seed % classes] = True
    as_set = torch.rand(labels.shape, generator=rng) < 0.3
    return torch.where(as_set, torch.randint(classes, classes + count, labels.shape, generator=rng), labels), members


def nll_by_hand(logits, labels, stands_for) -> float:
    """-log of summed probabilities, a pixel at a time."""
    total, pixels = 0.0, 0
    for b, h, w in (labels != VOID).nonzero().tolist():
        p = logits[b, :, h, w].exp() / logits[b, :, h, w].exp().sum()
        total -= math.log(sum(float(p[k]) for k in stands_for(b, int(labels[b, h, w]))))
        pixels += 1
    return total / max(1, pixels)


# --- Cross-entropy and NLL+ ---------------------------------------------------------------------------------


def test_cross_entropy_and_its_gradient_by_hand():
    logits, labels, _, _ = random_case(1)
    value, gradient = loss_and_gradient(cross_entropy, logits, labels.to(torch.uint8))
    assert value.item() == pytest.approx(nll_by_hand(logits, labels, lambda b, y: [y]), rel=1e-12)
    labelled = labels != VOID
    one_hot = F.one_hot(torch.where(labelled, labels, 0), 7).permute(0, 3, 1, 2)
    expected = (logits.softmax(1) - one_hot) * labelled[:, None] / labelled.sum()  # (a-5)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("seed", range(3))
def test_nll_plus_by_hand(seed):
    logits, labels, _, relations = random_case(seed)
    labels, members = random_sets(seed, labels, 7)
    closed = relations | torch.eye(7).bool()

    def classes_of(b, code):
        picked = [code] if code < 7 else members[code - 7].nonzero().flatten().tolist()
        return closed[picked].any(0).nonzero().flatten().tolist()

    value = nll_plus(logits, labels, members=members, also=relations)
    assert value.item() == pytest.approx(nll_by_hand(logits, labels, classes_of), rel=1e-12)
    value = nll_plus(logits, labels, members=members)
    plainly = nll_by_hand(logits, labels, lambda b, y: [y] if y < 7 else members[y - 7].nonzero().flatten().tolist())
    assert value.item() == pytest.approx(plainly, rel=1e-12)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: nll_plus(x, labels[:, :3, :3], members=members, also=relations), logits[:, :, :3, :3]
    )


def test_nll_plus_of_single_classes_is_cross_entropy():
    logits, labels, _, _ = random_case(4)
    expected = loss_and_gradient(cross_entropy, logits, labels)
    torch.testing.assert_close(loss_and_gradient(nll_plus, logits, labels), expected)
    singles = torch.eye(7).bool()
    sets = torch.where(labels == VOID, VOID, labels + 7)
    torch.testing.assert_close(loss_and_gradient(nll_plus, logits, sets, members=singles), expected)


def test_nll_plus_pulls_up_members_alone():
    logits = torch.zeros(1, 4, 1, 1)
    members = torch.tensor([[True, True, False, False]])
    _, gradient = loss_and_gradient(nll_plus, logits, torch.full((1, 1, 1), 4), members=members)
    assert gradient.flatten().tolist() == pytest.approx([-0.25, -0.25, 0.25, 0.25])


# --- Merged logits ------------------------------------------------------------------------------------------


def test_merged_softmax_by_hand():
    logits, labels, _, _ = random_case(6, classes=4)
    members = torch.tensor([[False, False, True, True]])
    codes = torch.tensor([[True, True, False, False, True], [True, True, True, True, False]])
    labels[0] = torch.where(labels[0] == VOID, VOID, torch.tensor([0, 1, 4, 4])[labels[0] % 4])
    labels[1] = torch.where(labels[1] == VOID, VOID, labels[1] % 4)
    for merge, join in (("max", torch.amax), ("mean", torch.mean), ("logsumexp", torch.logsumexp)):
        joined = join(logits[0, 2:], 0)
        total = 0.0
        for h, w in (labels[0] != VOID).nonzero().tolist():
            z = torch.stack([logits[0, 0, h, w], logits[0, 1, h, w], joined[h, w]])
            total -= float(z.log_softmax(0)[min(int(labels[0, h, w]), 2)])
        total += float(F.cross_entropy(logits[1:], labels[1:], ignore_index=VOID, reduction="sum"))
        value = merged_softmax(logits, labels, codes, merge=merge, members=members)
        assert value.item() == pytest.approx(total / int((labels != VOID).sum()), rel=1e-12)


def test_merged_by_logsumexp_is_nll_plus_where_codes_partition_the_classes():
    logits, labels, _, _ = random_case(7, classes=4)
    members = torch.tensor([[False, False, True, True]])
    labels = torch.where(labels == VOID, VOID, torch.tensor([0, 1, 4, 4])[labels % 4])
    codes = torch.tensor([[True, True, False, False, True]] * 2)
    merged = loss_and_gradient(merged_softmax, logits, labels, codes, merge="logsumexp", members=members)
    torch.testing.assert_close(merged, loss_and_gradient(nll_plus, logits, labels, members=members))


def test_merged_softmax_refuses_codes_of_other_sources():
    with pytest.raises(UnifyError, match="label 1 in image 0 of the batch, which its source does not use"):
        merged_softmax(torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1).long(), torch.tensor([[True, False]]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_losses_without_labels_are_zero(dtype):
    logits, labels = torch.randn(2, 3, 2, 2).to(dtype), torch.full((2, 2, 2), VOID)
    codes = torch.ones(2, 3).bool()
    for loss, args in ((cross_entropy, ()), (nll_plus, ()), (merged_softmax, (codes,))):
        value, gradient = loss_and_gradient(loss, logits, labels, *args)
        assert value == 0 and value.dtype == torch.float32 and (gradient == 0).all()


# --- Cosine classifier --------------------------------------------------------------------------------------


def test_cosine_logits_are_torchs_cosine_similarity():
    torch.manual_seed(0)
    weight = torch.randn(6, 16, dtype=torch.float64)
    features = torch.randn(2, 16, 5, 4, dtype=torch.float64)
    expected = 20 * F.cosine_similarity(features[:, None], weight[None, :, :, None, None], dim=2)
    torch.testing.assert_close(cosine_logits(features, weight), expected)
    rows = features.permute(0, 2, 3, 1).reshape(-1, 16)
    torch.testing.assert_close(cosine_logits(rows, weight), expected.permute(0, 2, 3, 1).reshape(-1, 6))
    features.requires_grad_()
    weight.requires_grad_()
    assert torch.autograd.gradcheck(lambda f, w: cosine_logits(f, w, 3.0), (features[:, :, :2, :2], weight))


def test_zero_features_and_weights_give_zero_and_no_gradient():
    features = torch.randn(1, 8, 2, 2)
    features[..., 0, 0] = 0
    features[..., 0, 1] *= 1e-25
    layer = CosineClassifier(8, 3)
    with torch.no_grad():
        layer.weight[1] = 0
    features.requires_grad_()
    logits = layer(features)
    assert (logits[..., 0, 0] == 0).all() and (logits[:, 1] == 0).all()
    logits.square().sum().backward()
    assert features.grad.isfinite().all() and layer.weight.grad.isfinite().all()
    assert (features.grad[..., 0, :] == 0).all() and (layer.weight.grad[1] == 0).all()
    assert features.grad[..., 1, :].abs().min() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scale_bounds_the_logits_whatever_the_lengths(dtype):
    torch.manual_seed(1)
    layer = CosineClassifier(32, 5, scale=20)
    features = (torch.randn(1, 32, 6, 6) * torch.logspace(-3, 4, 36).view(6, 6)).to(dtype)
    exact = 20 * F.cosine_similarity(features.double()[:, None], layer.weight.double()[None, :, :, None, None], dim=2)
    found = layer(features)
    assert found.abs().max() <= 20.2
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-4 if dtype == torch.float32 else 0.15)
    assert list(layer.state_dict()) == ["weight"], "no bias"
