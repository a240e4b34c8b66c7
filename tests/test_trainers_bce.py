"""The BCE losses: against the equations by hand, against the eager reference, and at the edges."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from trainers.ops import bce_reference as reference  # noqa: E402
from trainers.ops.bce import _BLOCK, bce, class_relational_bce, null_bce  # noqa: E402
from trainers.ops.softmax import cross_entropy  # noqa: E402
from unify.errors import UnifyError  # noqa: E402

VOID = 255


def random_case(seed: int, batch=2, classes=7, height=9, width=11, void_share=0.3, allowed_share=0.6, dtype=None):
    """Logits (float64 unless told), labels that each image's source annotates, its classes, and relations."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, height, width, generator=rng, dtype=torch.float64) * 5
    allowed = torch.rand(batch, classes, generator=rng) < allowed_share
    allowed[torch.arange(batch), torch.randint(classes, (batch,), generator=rng)] = True
    labels = torch.multinomial(allowed.double(), height * width, replacement=True, generator=rng)
    labels = labels.view(batch, height, width)
    labels[torch.rand(batch, height, width, generator=rng) < void_share] = VOID
    relations = torch.rand(classes, classes, generator=rng) < 0.15
    return logits.to(dtype or torch.float64), labels, allowed, relations


def loss_and_gradient(loss, logits, *args, **kwargs):
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, *args, **kwargs)
    value.backward()
    return value.detach(), logits.grad


def by_hand(logits, labels, allowed, relations=None):
    """Equations (a-6) and (a-8), a pixel and a channel at a time, in Python's floats."""
    batch, classes, height, width = logits.shape
    total, gradient, pixels = 0.0, torch.zeros_like(logits), int((labels != VOID).sum())
    for b, h, w in itertools.product(range(batch), range(height), range(width)):
        y = int(labels[b, h, w])
        if y == VOID:
            continue
        for k in range(classes):
            target = 1.0 if k == y or (relations is not None and relations[y, k]) else 0.0
            if not (allowed[b, k] or target):
                continue
            q = 1 / (1 + torch.exp(-logits[b, k, h, w]))
            total -= float(target * torch.log(q) + (1 - target) * torch.log(1 - q))
            gradient[b, k, h, w] = target * (q - 1) + q * (1 - target)
    return total / max(1, pixels), gradient / max(1, pixels)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("module", ["fast", "eager"])
def test_loss_and_gradient_are_those_of_the_equations(seed, module):
    logits, labels, allowed, relations = random_case(seed, height=4, width=5)
    null, related = (
        (null_bce, class_relational_bce) if module == "fast" else (reference.null_bce, reference.class_relational_bce)
    )
    for loss, args, expected in (
        (null, (), by_hand(logits, labels, allowed)),
        (related, (relations,), by_hand(logits, labels, allowed, relations)),
    ):
        value, gradient = loss_and_gradient(loss, logits, labels, allowed, *args)
        assert value.item() == pytest.approx(expected[0], rel=1e-12)
        torch.testing.assert_close(gradient, expected[1], rtol=1e-12, atol=1e-15)


def test_gradients_are_the_derivatives():
    logits, labels, allowed, relations = random_case(1, classes=5, height=3, width=4)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: null_bce(x, labels, allowed), logits)
    assert torch.autograd.gradcheck(lambda x: class_relational_bce(x, labels, allowed, relations), logits)
    assert torch.autograd.gradcheck(lambda x: bce(x, labels), logits)


SHAPES = [(1, 1, 1, 1), (1, 3, 1, 17), (2, 7, 9, 11), (3, 19, 16, 20), (2, 70, 65, 64)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("void_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("allowed_share", [0.0, 0.4, 1.0])
def test_fast_and_eager_agree_in_float32(shape, void_share, allowed_share, monkeypatch):
    monkeypatch.setitem(_BLOCK, "cpu", 1 << 12)  # so that small images take several blocks, and a part of one
    sizes = dict(zip(("batch", "classes", "height", "width"), shape, strict=True))
    logits, labels, allowed, relations = random_case(
        hash((shape, void_share)) % 999, **sizes, void_share=void_share, allowed_share=allowed_share
    )
    labels[0] = VOID if void_share else labels[0]  # an image without a label
    logits = logits.float()
    many = relations.expand(shape[0], -1, -1).clone()
    many[0] = False
    for fast, eager, args in (
        (null_bce, reference.null_bce, (allowed,)),
        (class_relational_bce, reference.class_relational_bce, (allowed, relations)),
        (class_relational_bce, reference.class_relational_bce, (allowed, many)),
        (bce, reference.bce, ()),
    ):
        for narrow in (labels, labels.to(torch.uint8)):
            value, gradient = loss_and_gradient(fast, logits, narrow, *args)
            expected, expected_gradient = loss_and_gradient(eager, logits, labels, *args)
            assert value.dtype == gradient.dtype == torch.float32
            torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
            scale = expected_gradient.abs().max().item()
            torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-6 * scale)


def test_channels_last_gives_the_same_and_keeps_its_order():
    logits, labels, allowed, relations = random_case(3)
    last = logits.to(memory_format=torch.channels_last)
    for args in ((allowed,), (allowed, relations)):
        loss = null_bce if len(args) == 1 else class_relational_bce
        value, gradient = loss_and_gradient(loss, logits, labels, *args)
        other, other_gradient = loss_and_gradient(loss, last, labels, *args)
        torch.testing.assert_close(value, other)
        torch.testing.assert_close(gradient, other_gradient)
    strided = torch.randn(2, 7, 22, 9).transpose(2, 3)[..., ::2]
    value, gradient = loss_and_gradient(null_bce, strided, labels, allowed)
    expected = loss_and_gradient(reference.null_bce, strided, labels, allowed)
    torch.testing.assert_close((value, gradient), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    logits, labels, allowed, relations = random_case(5, classes=30, height=40, width=40, dtype=dtype)
    for args in (
        (null_bce, reference.null_bce, allowed),
        (class_relational_bce, reference.class_relational_bce, allowed, relations),
    ):
        fast, eager, *tables = args
        value, gradient = loss_and_gradient(fast, logits, labels, *tables)
        expected, expected_gradient = loss_and_gradient(eager, logits.float(), labels, *tables)
        assert value.dtype == torch.float32 and gradient.dtype == dtype
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(gradient.float(), expected_gradient, rtol=2**-7, atol=1e-6)


def test_float16_gradients_do_not_vanish_under_loss_scaling():
    """Divided by 262144 pixels at once they would be next to nothing in float16, and stay wrong when scaled up."""
    logits = torch.full((1, 2, 512, 512), -0.8, dtype=torch.float16, requires_grad=True)
    (null_bce(logits, torch.zeros(1, 512, 512).long(), torch.ones(1, 2).bool()) * 2**16).backward()
    expected = torch.sigmoid(torch.tensor(-0.8)) * 2**16 / 512**2
    torch.testing.assert_close(logits.grad[0, 1], expected.half().expand(512, 512), rtol=2**-10, atol=0)


def test_channels_beyond_the_source_get_exactly_no_gradient():
    logits, labels, allowed, _ = random_case(2, classes=20, allowed_share=0.3)
    _, gradient = loss_and_gradient(null_bce, logits.float(), labels, allowed)
    outside = ~allowed[:, :, None, None].expand_as(gradient)
    assert outside.any() and (gradient[outside] == 0).all()
    inside_labelled = allowed[:, :, None, None] & (labels != VOID)[:, None]
    assert (gradient[inside_labelled] != 0).all()
    _, gradient = loss_and_gradient(bce, logits.float(), labels)
    assert (gradient[outside & (labels != VOID)[:, None]] > 0).all(), "plain BCE pushes them down"


def test_relations_teach_their_pixels_and_no_others():
    """A Mapillary motorcyclist is a rider too; a Mapillary road says nothing about riders."""
    road, rider, motorcyclist, _train = range(4)
    allowed = torch.tensor([[True, False, True, False]])
    relations = torch.zeros(4, 4, dtype=torch.bool)
    relations[motorcyclist, rider] = True
    labels = torch.tensor([[[road, motorcyclist, VOID]]])
    _, gradient = loss_and_gradient(class_relational_bce, torch.zeros(1, 4, 1, 3), labels, allowed, relations)
    assert (gradient[0, :, 0] * 2).tolist() == [
        [-0.5, 0.5, 0.0],  # road: 1 at its own label, 0 at another of the source
        [0.0, -0.5, 0.0],  # rider: nothing at road, 1 at motorcyclist
        [0.5, -0.5, 0.0],
        [0.0, 0.0, 0.0],  # train: nothing
    ]


def test_related_classes_within_the_source_are_not_pushed_down():
    allowed, relations = torch.ones(1, 3).bool(), torch.zeros(3, 3).bool()
    relations[0, 1] = True
    _, gradient = loss_and_gradient(
        class_relational_bce, torch.zeros(1, 3, 1, 1), torch.zeros(1, 1, 1).long(), allowed, relations
    )
    assert gradient.flatten().tolist() == [-0.5, -0.5, 0.5]


def test_cross_entropy_pulls_one_class_both_ways_and_null_bce_does_not():
    """Appendix F: where k is a conflicting class the gradient P - Y has one sign in one dataset, another in the other.

    Pixels that look the same (the same logits) are "rider" to Cityscapes and "motorcyclist" to Mapillary.
    """
    _road, rider, motorcyclist = range(3)
    logits = torch.tensor([0.1, 0.7, 0.4], dtype=torch.float64).view(1, 3, 1, 1).repeat(2, 1, 1, 1)
    labels = torch.tensor([[[rider]], [[motorcyclist]]])
    allowed = torch.tensor([[True, True, False], [True, False, True]])
    _, gradient = loss_and_gradient(cross_entropy, logits, labels)
    p = logits.softmax(1)
    expected = (p - F.one_hot(labels, 3).permute(0, 3, 1, 2)) / 2  # (a-5), and two labelled pixels
    torch.testing.assert_close(gradient, expected)
    of_rider, of_motorcyclist = gradient[:, rider].flatten(), gradient[:, motorcyclist].flatten()
    assert of_rider[0] < 0 < of_rider[1] and of_motorcyclist[1] < 0 < of_motorcyclist[0], "the conflict"
    _, gradient = loss_and_gradient(null_bce, logits, labels, allowed)
    assert gradient[0, rider] < 0 and gradient[1, rider] == 0, "no conflict: Mapillary has no say about riders"
    assert gradient[1, motorcyclist] < 0 and gradient[0, motorcyclist] == 0
    related = torch.zeros(3, 3).bool()
    related[motorcyclist, rider] = True
    _, gradient = loss_and_gradient(class_relational_bce, logits, labels, allowed, related)
    assert gradient[0, rider] < 0 and gradient[1, rider] < 0, "both teach it"


def test_a_batch_without_labels_is_zero_and_not_nan():
    logits = torch.randn(2, 5, 3, 3)
    labels = torch.full((2, 3, 3), VOID, dtype=torch.uint8)
    allowed, relations = torch.ones(2, 5).bool(), torch.eye(5).bool()
    for loss, args in (
        (null_bce, (allowed,)),
        (class_relational_bce, (allowed, relations)),
        (bce, ()),
        (cross_entropy, ()),
    ):
        value, gradient = loss_and_gradient(loss, logits, labels, *args)
        assert value == 0 and (gradient == 0).all(), loss
    nothing = null_bce(torch.zeros(0, 5, 3, 3), torch.zeros(0, 3, 3).long(), torch.zeros(0, 5).bool())
    assert nothing == 0


def test_confident_logits_stay_finite():
    logits = torch.tensor([200.0, -200.0, 30.0, -30.0]).view(1, 4, 1, 1)
    for label in range(4):
        value, gradient = loss_and_gradient(null_bce, logits, torch.full((1, 1, 1), label), torch.ones(1, 4).bool())
        assert value.isfinite() and gradient.isfinite().all()


def test_parts_add_up_to_the_whole_with_one_normalizer():
    logits, labels, allowed, _ = random_case(8, batch=4)
    whole = loss_and_gradient(null_bce, logits, labels, allowed)
    pixels = (labels != VOID).sum()
    parts = [
        loss_and_gradient(null_bce, logits[i : i + 2], labels[i : i + 2], allowed[i : i + 2], normalizer=pixels)
        for i in (0, 2)
    ]
    torch.testing.assert_close(parts[0][0] + parts[1][0], whole[0])
    torch.testing.assert_close(torch.cat([parts[0][1], parts[1][1]]), whole[1])


def test_the_incoming_gradient_counts_and_a_second_one_is_refused():
    logits, labels, allowed, _ = random_case(9)
    _, gradient = loss_and_gradient(null_bce, logits, labels, allowed)
    _, tripled = loss_and_gradient(lambda *args: 3 * null_bce(*args), logits, labels, allowed)
    torch.testing.assert_close(tripled, 3 * gradient)
    logits.requires_grad_()
    value = 3 * null_bce(logits, labels, allowed)
    value.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        value.backward()


def test_without_gradient_nothing_large_is_made():
    logits, labels, allowed, _ = random_case(9)
    with torch.no_grad():
        assert not null_bce(logits, labels, allowed).requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same():
    logits, labels, allowed, relations = random_case(3, classes=70, height=65, width=64, dtype=torch.float32)
    for loss, args in ((null_bce, (allowed,)), (class_relational_bce, (allowed, relations)), (bce, ())):
        expected = loss_and_gradient(loss, logits, labels, *args)
        value, gradient = loss_and_gradient(loss, logits.cuda(), labels.cuda(), *(table.cuda() for table in args))
        torch.testing.assert_close((value.cpu(), gradient.cpu()), expected, rtol=1e-5, atol=1e-9)


def test_no_sets_is_a_table_without_rows():
    logits, labels, allowed, relations = random_case(3)
    none = torch.zeros(0, 7, dtype=torch.bool)
    for loss, args in ((null_bce, (allowed,)), (class_relational_bce, (allowed, relations)), (bce, ())):
        expected = loss_and_gradient(loss, logits, labels, *args)
        torch.testing.assert_close(loss_and_gradient(loss, logits, labels, *args, members=none), expected)


# --- Sets ---------------------------------------------------------------------------------------------------


def test_a_set_teaches_what_all_its_members_agree_on():
    bike_lane, parking, road, sky, _elsewhere = range(5)
    members = torch.tensor([[True, True, False, False, False], [False, False, False, True, False]])
    allowed = torch.tensor([[True, True, False, True, False]])
    relations = torch.zeros(5, 5).bool()
    relations[[bike_lane, parking], road] = True
    labels = torch.tensor([[[5, 6, sky]]])
    logits = torch.zeros(1, 5, 1, 3)
    _, gradient = loss_and_gradient(class_relational_bce, logits, labels, allowed, relations, members=members)
    assert (gradient[0, :, 0] * 3).tolist() == [
        [0.0, 0.5, 0.5],  # a member is neither taught nor untaught
        [0.0, 0.5, 0.5],
        [-0.5, 0.0, 0.0],  # whichever it is, it is road
        [0.5, -0.5, -0.5],  # sky it is not; and a set of one class is that class
        [0.0, 0.0, 0.0],
    ]
    _, gradient = loss_and_gradient(null_bce, logits, labels, allowed, members=members)
    assert (gradient[0, :, 0, 0] * 3).tolist() == [0.0, 0.0, 0.0, 0.5, 0.0]


def test_sets_at_random_agree_with_a_pixel_by_pixel_rule():
    logits, labels, allowed, relations = random_case(4, classes=8, height=6, width=7, allowed_share=0.8)
    rng = torch.Generator().manual_seed(0)
    members = torch.rand(3, 8, generator=rng) < 0.5
    members &= allowed.all(0)
    members[:, allowed.all(0).nonzero()[0]] = True
    as_set = torch.rand(labels.shape, generator=rng) < 0.3
    labels = torch.where(as_set, torch.randint(8, 11, labels.shape, generator=rng), labels)
    value, gradient = loss_and_gradient(class_relational_bce, logits, labels, allowed, relations, members=members)
    pixels, total, expected = (labels != VOID).sum(), 0.0, torch.zeros_like(logits)
    closed = relations | torch.eye(8).bool()
    for b, h, w in (labels != VOID).nonzero().tolist():
        y = int(labels[b, h, w])
        worlds = [y] if y < 8 else members[y - 8].nonzero().flatten().tolist()
        for k in range(8):
            said = {1 if closed[m, k] else 0 if allowed[b, k] else None for m in worlds}
            if len(said) == 1 and None not in said:
                x, t = logits[b, k, h, w], said.pop()
                total += float(F.softplus(x, threshold=50) - t * x)
                expected[b, k, h, w] = (torch.sigmoid(x) - t) / pixels
    assert value.item() == pytest.approx(total / int(pixels), rel=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-15)


# --- What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int16])
@pytest.mark.parametrize("loss", [null_bce, class_relational_bce, bce, cross_entropy])
def test_a_label_beyond_the_space_is_named(loss, dtype):
    logits, labels = torch.zeros(2, 4, 3, 3), torch.zeros(2, 3, 3, dtype=dtype)
    labels[1, 2, 2] = 77
    tables = {
        null_bce: (torch.ones(2, 4).bool(),),
        class_relational_bce: (torch.ones(2, 4).bool(), torch.eye(4).bool()),
    }
    with pytest.raises(UnifyError, match=r"unknown-id: label 77 in a batch whose labels are 0\.\.3 and 255"):
        loss(logits, labels, *tables.get(loss, ()))


def test_negative_and_huge_labels_are_named():
    logits = torch.zeros(1, 4, 1, 3)
    with pytest.raises(UnifyError, match="label -1, 1000000 in a batch"):
        bce(logits, torch.tensor([[[-1, 1000000, 0]]]))
    with pytest.raises(UnifyError, match="label -3 in a batch"):
        bce(logits, torch.tensor([[[-3, 0, 255]]]))


def test_a_label_that_the_source_does_not_annotate_is_named():
    with pytest.raises(UnifyError, match="label 2 in image 1 of the batch: not in the label space of its source"):
        null_bce(torch.zeros(2, 3, 1, 1), torch.tensor([[[0]], [[2]]]), torch.tensor([[True] * 3, [True, True, False]]))


def test_shapes_that_do_not_go_together():
    logits, labels, allowed = torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4).long(), torch.ones(2, 3).bool()
    with pytest.raises(UnifyError, match="do not go together"):
        null_bce(logits, labels[:, :3], allowed)
    with pytest.raises(UnifyError, match=r"allowed is torch\.bool of shape"):
        null_bce(logits, labels, allowed[:1])
    with pytest.raises(UnifyError, match=r"relations is torch\.float32"):
        class_relational_bce(logits, labels, allowed, torch.eye(3))
    with pytest.raises(UnifyError, match=r"labels of torch\.float32"):
        null_bce(logits, labels.float(), allowed)
