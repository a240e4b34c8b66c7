"""Scores of a split, against counts by hand; views against single passes; projections against names."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from trainers import checkpoint, evaluate, metrics, views  # noqa: E402
from trainers.checkpoint import Checkpoint  # noqa: E402
from trainers.data import Samples, normalized  # noqa: E402
from trainers.evaluate import confusion_of  # noqa: E402
from trainers.views import Views, logits_of  # noqa: E402
from unify.build import build  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.projection import Projection, by_name  # noqa: E402
from unify.sample import write_streets  # noqa: E402
from unify.spaces import LabelClass, LabelSpace, load_space  # noqa: E402

from . import nets  # noqa: E402
from .worlds import plan_of  # noqa: E402


@pytest.fixture(autouse=True)
def tiny_nets(monkeypatch):
    nets.install(monkeypatch.setitem)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C", "I", "V"], images=2, seed=1, size=0.06)
    return folder


@pytest.fixture(scope="module")
def artifact(raw):
    return build(plan_of(raw / "raw", "C,I"), raw / "out").artifact


@pytest.fixture(scope="module")
def camvid(raw):
    return build(plan_of(raw / "raw", "V", "camvid11"), raw / "out").artifact


def saved(taxonomy, folder, method="null-bce"):
    torch.manual_seed(5)
    net = nets.build("cosine", len(taxonomy.space))
    whole = Checkpoint(
        net.config,
        taxonomy.space.names,
        taxonomy.to_json()["space"],
        taxonomy.digest(),
        ("x",),
        method,
        1,
        dict(net.state_dict()),
    )
    checkpoint.save(whole, folder)
    return folder / "ckpt.pt"


def counted(net, samples, rows, answer_of, num_classes):
    """A confusion matrix, a pixel at a time."""
    found = np.zeros((num_classes, num_classes), np.int64)
    for row in rows:
        sample = samples[row]
        with torch.no_grad():
            logits = net(normalized(sample.image_chw[None]))[0].numpy()
        for (y, x), truth in np.ndenumerate(sample.label_hw.numpy()):
            if truth < num_classes and (answer := answer_of(logits[:, y, x], sample)) is not None:
                found[truth, answer] += 1
    return found


# --- A split ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", ["source", "all"])
def test_a_split_is_counted_pixel_by_pixel(artifact, tmp_path, answers):
    path = saved(artifact.taxonomy, tmp_path)
    told = []
    found = evaluate.evaluate(path, artifact, answers=answers, advance=lambda images, size: told.append(images))
    samples = Samples(build_index([artifact]), None)
    index = samples.index
    rows = [row for row in range(len(index)) if index.shards[index.shard[row]].split == "val"]
    net = checkpoint.net_of(checkpoint.load(path))

    def answer_of(logits, sample):
        chosen = [k for k in range(len(logits)) if answers == "all" or sample.allowed_k[k]]
        return max(chosen, key=lambda k: logits[k])

    expected = counted(net, samples, rows, answer_of, 28)
    assert np.array_equal(found["confusion"], expected) and found["images"] == len(rows) == sum(told) == 2
    assert found["miou"] == metrics.mean_iou(expected) and found["pixel_accuracy"] == metrics.pixel_accuracy(expected)
    assert set(found["iou"]) == set(artifact.taxonomy.space.names) and set(found["sources"]) == {"cityscapes", "idd"}
    assert sum(s["pixels"] for s in found["sources"].values()) == expected.sum()
    assert found["checkpoint"] == checkpoint.load(path).file_digest and found["data"] == artifact.digest


def test_another_space_is_projected_by_name(artifact, camvid, tmp_path):
    """The best of the classes that count for a class of CamVid, by a dictionary; the rest is not scored."""
    path = saved(artifact.taxonomy, tmp_path)
    found = evaluate.evaluate(path, camvid, space="camvid11")
    names, targets = artifact.taxonomy.space.names, camvid.taxonomy.space.names
    said = by_name(artifact.taxonomy.space, camvid.taxonomy.space)
    owner = {names.index(m): targets.index(t) for t, members in said.members.items() for m in members}
    samples = Samples(build_index([camvid]), None)
    rows = [r for r in range(len(samples.index)) if samples.index.shards[samples.index.shard[r]].split == "val"]
    net = checkpoint.net_of(checkpoint.load(path))
    expected = counted(net, samples, rows, lambda logits, _: owner[max(owner, key=lambda k: logits[k])], len(targets))
    without = [targets.index(t) for t in said.missing]
    expected[without] = 0
    assert np.array_equal(found["confusion"], expected) and found["space"] == "camvid11" and expected.sum() > 0
    assert found["without"] == list(said.missing)


SMALL = LabelSpace("small", tuple(LabelClass(i, n, (i, 1, 2)) for i, n in enumerate("abc")))
TARGET = LabelSpace("target", tuple(LabelClass(i, n, (i, 1, 2)) for i, n in enumerate("xyz")))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_projected_scores(activation):
    """x is a or b, y nothing, z is c; against `Projection.project_probabilities`."""
    said = Projection(SMALL, TARGET, {"x": ("a", "b"), "y": (), "z": ("c",)})
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 5) * 3
    p = logits.double().sigmoid() if activation == "sigmoid" else logits.double().softmax(0)
    found = evaluate.projected(logits, said, "sum", activation)
    expected = said.project_probabilities(p.numpy(), "sum", axis=0)
    assert np.allclose(found[[0, 2]], expected[[0, 2]]) and (found[1] == -np.inf).all()
    assert np.array_equal(found.argmax(0).numpy(), said.predict(p.numpy(), "sum", axis=0))
    best = evaluate.projected(logits, said, "max", activation)
    assert np.array_equal(best.numpy(), said.project_probabilities(logits.numpy(), "max", axis=0))


def test_sets_and_void_are_left_out(artifact):
    """A net that always says class 2; labels made of a class, a set and void."""

    class Always(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, image):
            scores = torch.zeros(1, 28, *image.shape[2:])
            scores[:, 2] = 1
            return scores

    samples = Samples(build_index([artifact]), None)
    samples.members = torch.ones(2, 28, dtype=torch.bool)
    true_getitem = type(samples).__getitem__
    label = torch.tensor([[0, 2, 28, 29, 255, 2]], dtype=torch.uint8)

    class Odd(type(samples)):
        def __getitem__(self, row):
            return true_getitem(self, row)._replace(label_hw=label, image_chw=torch.zeros(3, 1, 6, dtype=torch.uint8))

    samples.__class__ = Odd
    (counts,) = confusion_of(Always(), samples, np.array([0]), answers="all").values()
    assert counts.sum() == 3 and counts[0, 2] == 1 and counts[2, 2] == 2


def test_scores_are_in_eval_mode_and_training_goes_on(artifact):
    net, samples = nets.build("cosine", 28).train(), Samples(build_index([artifact]), None)
    found = confusion_of(net, samples, np.array([0]))
    assert net.training
    expected = confusion_of(net.eval(), samples, np.array([0]))
    assert not net.training and {k: v.tolist() for k, v in found.items()} == {
        k: v.tolist() for k, v in expected.items()
    }


def test_classes_without_a_counterpart_are_not_scored(artifact):
    space = artifact.taxonomy.space
    net, samples = nets.build("cosine", 28), Samples(build_index([artifact]), None)
    said = Projection(space, space, {name: () if name == "road" else (name,) for name in space.names})
    (whole,) = confusion_of(net, samples, np.array([0]), answers="all").values()
    (found,) = confusion_of(net, samples, np.array([0]), answers="all", projection=said).values()
    road = space.names.index("road")
    assert whole[road].any() and not found[road].any() and not found[:, road].any()
    whole[road] = 0
    assert found.sum() == whole.sum()


# --- Views --------------------------------------------------------------------------------------------------


class Points(nn.Module):
    """Logits of a pixel from that pixel alone, and its place in the window, if asked for."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 4, 1)
        self.sizes = []

    def forward(self, image):
        self.sizes.append(tuple(image.shape[2:]))
        return self.mix(image)


IMAGE = torch.randint(0, 256, (3, 21, 34), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def test_one_view_is_the_net():
    net = Points()
    assert torch.equal(logits_of(net, IMAGE, (21, 34), Views()), net(normalized(IMAGE[None]))[0])


@pytest.mark.parametrize("how", [Views(window=10), Views(window=16, stride=5), Views(flip=True), Views(window=50)])
def test_views_of_a_net_that_looks_at_points_are_one(how):
    net = Points()
    one = logits_of(net, IMAGE, (21, 34), Views())
    net.sizes.clear()
    assert torch.allclose(logits_of(net, IMAGE, (21, 34), how), one, atol=1e-5)
    if how.window in (10, 16):
        assert set(net.sizes) == {(how.window, how.window)} and len(net.sizes) > 4


def test_windows_cover_all_and_end_with_the_image():
    for size in range(1, 60):
        for window in range(1, 20):
            for stride in range(1, window + 1):
                starts = views.starts(size, window, stride)
                seen = {at + i for at in starts for i in range(window)}
                assert seen >= set(range(size)) and starts == sorted(set(starts))
                assert starts[-1] == max(0, size - window)


def test_a_mirrored_view_is_averaged():
    torch.manual_seed(0)
    net = nn.Conv2d(3, 4, 3, padding=1)
    x = normalized(IMAGE[None])
    with torch.no_grad():
        expected = (net(x)[0] + net(x.flip(3))[0].flip(2)) / 2
    assert torch.allclose(logits_of(net, IMAGE, (21, 34), Views(flip=True)), expected, atol=1e-6)


def test_scales_and_short_side_set_the_size():
    net = Points()
    found = logits_of(net, IMAGE, (42, 68), Views(short_side=42, scales=(0.5, 1.0, 1.5)))
    assert net.sizes == [(21, 34), (42, 68), (63, 102)] and found.shape == (4, 42, 68)
    flat = torch.full((3, 20, 30), 77, dtype=torch.uint8)
    wanted = net(normalized(flat[None]))[0, :, 0, 0]
    found = logits_of(net, flat, (20, 30), Views(scales=(0.7, 1.3), flip=True, window=16))
    assert torch.allclose(found, wanted[:, None, None].expand_as(found), atol=1e-4)


def test_views_that_cannot_be():
    for wrong in ({"scales": ()}, {"scales": (0.0,)}, {"window": 8, "stride": 9}, {"short_side": -1}):
        with pytest.raises(UnifyError):
            Views(**wrong)


# --- Mistakes -----------------------------------------------------------------------------------------------


def test_mistakes_are_one_line(artifact, camvid, tmp_path):
    path = saved(artifact.taxonomy, tmp_path / "a")
    with pytest.raises(UnifyError, match="has no image in split 'nights'"):
        evaluate.evaluate(path, artifact, split="nights")
    with pytest.raises(UnifyError, match="has labels in union28, not in camvid11"):
        evaluate.evaluate(path, artifact, space="camvid11")
    with pytest.raises(UnifyError, match="is not to be had here"):
        evaluate.evaluate(path, artifact, device="warp")
    with pytest.raises(UnifyError) as caught:
        evaluate.evaluate(tmp_path / "nope", artifact, split="nights")
    assert [p.kind for p in caught.value.problems] == ["not-found", "usage"]
    assert load_space("camvid11").names == camvid.taxonomy.space.names


def test_rows_are_spread_over_the_split(artifact):
    index = build_index([artifact])
    every = evaluate.rows_of(index, "train")
    assert len(every) == 4 and evaluate.rows_of(index, "train", 2).tolist() == [every[0], every[2]]
    assert evaluate.rows_of(index, "train", 9).tolist() == every.tolist()
