"""Influences: a planted bias is found, nothing is found where nothing was planted, and sums agree with erased sets."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trainers import checkpoint, metrics  # noqa: E402
from trainers.checkpoint import Checkpoint  # noqa: E402
from trainers.data import Samples, normalized  # noqa: E402
from trainers.evaluate import confusion_of, rows_of  # noqa: E402
from trainers.influence_sweep import cosines, erase_sums, erased, gradient_sums, influence_of  # noqa: E402
from unify.artifact import locate, open_artifact  # noqa: E402
from unify.commit import commit  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.erase import Options, erasure  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.influence import FOLDS, Influences, empty_sums, to_graph  # noqa: E402
from unify.relations.evidence import fold_of  # noqa: E402

from . import nets, planted  # noqa: E402
from .worlds import tiny_streets  # noqa: E402

ALL = torch.ones(len(planted.NAMES), dtype=torch.bool)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


# --- A planted bias -----------------------------------------------------------------------------------------


def found_in(seed: int, is_planted: bool, images: int = 48) -> Influences:
    net = planted.trained(seed, is_planted)
    rng = np.random.default_rng((seed, 1))
    sums = empty_sums("erase", len(planted.NAMES))
    for i in range(images):
        image, label = planted.image(rng, is_planted)
        found = erase_sums(net, image.transpose(2, 0, 1), label, ALL, "mean", str(i), batch=8)
        for name, array in found.items():
            sums[name][i % FOLDS] += array
    return Influences("erase", planted.NAMES, sums, {}, {})


def seeds(fast: int, most: int = 10):
    return [seed if seed < fast else pytest.param(seed, marks=pytest.mark.slow) for seed in range(most)]


@pytest.mark.parametrize("seed", seeds(2))
def test_a_planted_neighbour_is_ranked_first(seed):
    """A leaner is known by the cue beside it alone; without the cue its pixels are another class's."""
    found = found_in(seed, True)
    matrix = found.matrix()
    assert found.top(1)["leaner"] == ("cue",) and matrix[planted.CUE, planted.LEANER] > 0.8
    assert next(iter(found.vulnerability())) == "leaner"
    assert matrix[planted.CUE, planted.LEANER] > 20 * found.standard_error()[planted.CUE, planted.LEANER]
    others = np.delete(matrix[:, planted.LEANER], [planted.CUE, planted.LEANER])
    assert np.nanmax(others) < 0.05  # nothing else that stands by is taken for the reason
    top = to_graph(found).edges["cue", "leaner"]
    assert top["rank"] == 1 and top["influence"] == matrix[planted.CUE, planted.LEANER]


@pytest.mark.parametrize("seed", seeds(2))
def test_without_a_plant_no_influence_exceeds_noise(seed):
    """0.05 of IoU; the planted one is 0.99."""
    found = found_in(seed, False)
    assert np.nanmax(found.matrix()) < 0.05
    assert np.isfinite(found.matrix()).sum() == 20


# --- By erased sets -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return tiny_streets(tmp_path_factory.mktemp("streets"), images=3)


@pytest.fixture
def ckpt(artifact, tmp_path, monkeypatch):
    """Of a net with random weights: its answers are poor, and change with what is erased."""
    nets.install(monkeypatch.setitem)
    torch.manual_seed(5)
    taxonomy = artifact.taxonomy
    net = nets.build("plain", len(taxonomy.space))
    facts = (net.config, taxonomy.space.names, taxonomy.to_json()["space"], taxonomy.digest(), ("x",), "ce", 1)
    checkpoint.save(Checkpoint(*facts, dict(net.state_dict())), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("fill", ["mean", "noise"])
def test_influence_is_what_the_erased_sets_say(artifact, ckpt, tmp_path, fill):
    """For each of some classes: its erased set made by `unify erase`, scored by `unify evaluate`, class by class."""
    found = influence_of(ckpt, artifact, fill=fill, batch=3)
    before_jc, after_jc = found.iou()
    matrix, images = found.matrix(), found.images()
    net = checkpoint.net_of(checkpoint.load(ckpt))
    samples = Samples(build_index([artifact]), None)
    rows = rows_of(samples.index, "val")
    names, checked = found.classes, 0
    for j in np.argsort(-samples.index.present[rows].sum(0))[[0, 1, 4]].tolist():
        options = Options(fill=fill, labels="void", splits=("val",))
        path = commit(erasure(artifact, [names[j]], options).job, tmp_path / f"erased{j}").artifact.path
        without = Samples(build_index([open_artifact(path)]), None)
        place = {str(name): row for row, name in enumerate(without.index.sample_id)}
        for c in range(len(names)):
            both = [r for r in rows.tolist() if samples.index.present[r, j] and samples.index.present[r, c]]
            assert images[j, c] == (len(both) if c != j else 0)
            if c == j or not both:
                assert np.isnan(matrix[j, c])
                continue
            same = np.array([place[str(samples.index.sample_id[r])] for r in both])
            before = sum(confusion_of(net, samples, np.array(both)).values())
            after = sum(confusion_of(net, without, same).values())
            assert before_jc[j, c] == metrics.class_iou(before)[c]
            assert after_jc[j, c] == metrics.class_iou(after)[c]
            assert matrix[j, c] == before_jc[j, c] - after_jc[j, c]
            checked += 1
    assert checked > 20 and np.nanmax(np.abs(matrix)) > 0
    assert found.made_from == {"checkpoint": checkpoint.load(ckpt).file_digest, "data": artifact.digest}


def test_over_the_same_pixels_what_is_answered_on_the_erased_class_does_not_count(artifact, ckpt):
    every = influence_of(ckpt, artifact)
    same = influence_of(ckpt, artifact, over="same")
    total = {name: a.sum(0) for name, a in same.sums.items()}
    has = same.images() > 0
    union = total["pixels"] + total["wrong"] - total["on_j"]
    assert np.array_equal(same.iou()[0][has], (total["hit"] / np.where(has, union, 1))[has])
    assert (same.matrix()[has] >= every.matrix()[has]).all() and (same.matrix()[has] > every.matrix()[has]).any()
    assert same.digest != every.digest


def test_a_pass_for_an_image_and_one_for_each_class_that_it_shows(artifact, ckpt, monkeypatch):
    seen = []
    net_class = nets.Net
    forward = net_class.forward
    monkeypatch.setattr(net_class, "forward", lambda self, x, *a: seen.append(len(x)) or forward(self, x, *a))
    told = []
    influence_of(ckpt, artifact, images=2, batch=4, advance=lambda images, size: told.append(images))
    index = build_index([artifact])
    shown = index.present[rows_of(index, "val", 2)].sum(1)
    assert sum(seen) == (1 + shown).sum() and max(seen) <= 4 and told == [1, 1]
    assert sum(seen) < 2 * (1 + len(index.classes)) * 0.7


def test_pixels_are_filled_in_on_a_copy():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    label = rng.integers(0, 3, (6, 5), dtype=np.uint8)
    before = image.copy()
    out = erased(image, label, [1, 2], "black", "x")
    assert np.array_equal(image, before) and not out[label > 0].any()
    assert np.array_equal(out[label == 0], image[label == 0])


def test_data_by_name_though_raw_data_of_that_name_lie_here(artifact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / artifact.manifest.name).mkdir()
    assert locate(artifact.manifest.name, artifact.path.parents[1]).path == artifact.path


# --- Sums ---------------------------------------------------------------------------------------------------


def small_sums(seed=0, classes=3, folds=4):
    rng = np.random.default_rng(seed)
    sums = {name: np.zeros((folds, classes, classes)) for name in empty_sums("erase", classes)}
    for f in range(folds):
        for j in range(classes):
            for c in range(classes):
                if j == c or (f == 1 and c == 0) or (j, c) == (2, 1):
                    continue
                pixels, wrong = rng.integers(20, 90, 2)
                values = (2, pixels, rng.integers(pixels), wrong, rng.integers(wrong), rng.integers(pixels), 7)
                for name, value in zip(sums, values, strict=True):
                    sums[name][f, j, c] = value
    return sums


def test_the_standard_error_leaves_out_a_fold_at_a_time():
    sums = small_sums()
    found = Influences("erase", ("a", "b", "c"), sums, {}, {})
    error = found.standard_error()
    for j, c in ((0, 1), (1, 0), (1, 2)):
        folds = [f for f in range(4) if sums["images"][f, j, c]]
        values = []
        for out in folds:
            hit, pixels, wrong, after, wrong_after = (
                sum(sums[name][f, j, c] for f in folds if f != out)
                for name in ("hit", "pixels", "wrong", "hit_erased", "wrong_erased")
            )
            values.append(hit / (pixels + wrong) - after / (pixels + wrong_after))
        expected = np.sqrt((len(folds) - 1) * np.var(values))
        assert error[j, c] == pytest.approx(expected, rel=1e-9)
    assert np.isnan(error[2, 1]) and np.isnan(error[0, 0])


def test_ranking_and_vulnerability():
    found = Influences("erase", ("a", "b", "c"), small_sums(), {}, {})
    matrix, ranked = found.matrix(), found.ranked()
    assert set(ranked["b"]) == {"a"} and found.top(1)["b"] == ("a",)  # no image shows b and c
    assert list(ranked["c"].values()) == sorted(matrix[:2, 2], reverse=True)
    assert found.vulnerability(1)["c"] == max(matrix[:2, 2])
    assert found.vulnerability(2)["c"] == pytest.approx(matrix[:2, 2].mean())
    order = list(found.vulnerability().values())
    assert order == sorted(order, reverse=True)


def test_classes_that_are_never_found_have_nothing_to_lose():
    sums = small_sums()
    assert Influences("erase", ("a", "b", "c"), sums, {}, {}).never_found() == ()
    sums["hit"][:, :, 1] = 0  # shown, and never answered rightly
    assert Influences("erase", ("a", "b", "c"), sums, {}, {}).never_found() == ("b",)
    sums["images"][:, :, 1] = 0  # not shown
    assert Influences("erase", ("a", "b", "c"), sums, {}, {}).never_found() == ()


# --- Otherwise ----------------------------------------------------------------------------------------------


def test_the_share_of_the_gradient():
    """Of a linear net whose classes look at one colour at one place, the share can be counted."""
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, 3, 5, padding=2).double()
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    label = torch.zeros(8, 8, dtype=torch.uint8)
    label[:, 3:5], label[:, 5:], label[0] = 1, 2, 255
    net.float()
    found = gradient_sums(net, image, label, 3)
    x = normalized(image[None]).requires_grad_()
    for c in range(3):
        logits = net(x)[0, c]
        (slope,) = torch.autograd.grad(logits[label == c].mean(), x)
        size = slope[0].abs().sum(0)
        others = [j for j in range(3) if j != c]
        total = sum(float(size[label == j].sum()) for j in others)
        for j in others:
            assert found["mass"][j, c] == pytest.approx(float(size[label == j].sum()) / total, rel=1e-5)
            assert found["images"][j, c] == 1
    assert not found["mass"].diagonal().any()


def test_by_gradient_over_a_split(artifact, ckpt):
    found = influence_of(ckpt, artifact, by="gradient")
    matrix = found.matrix()
    assert np.nanmin(matrix) >= 0 and np.nanmax(matrix) <= 1 and np.isfinite(matrix).sum() > 50
    index = build_index([artifact])
    present = index.present[rows_of(index, "val")].astype(int)
    both = present.T @ present
    np.fill_diagonal(both, 0)
    assert np.array_equal(found.images(), both)


def test_cosines_of_the_rows():
    net = planted.Net()
    found = cosines(net, 5)
    rows = net.classifier.weight.detach().flatten(1).double().numpy()
    for c in range(5):
        for j in range(5):
            expected = rows[c] @ rows[j] / np.sqrt((rows[c] @ rows[c]) * (rows[j] @ rows[j]))
            assert found[c, j] == pytest.approx(expected)
    with pytest.raises(UnifyError, match="no row of weights"):
        cosines(net, 4)
    with pytest.raises(UnifyError, match="no row of weights"):
        cosines(torch.nn.Conv2d(3, 2, 1), 2)


def test_images_are_dealt_into_folds_by_their_name(artifact, ckpt):
    found = influence_of(ckpt, artifact)
    index = build_index([artifact])
    rows = rows_of(index, "val")
    per_fold = np.zeros((FOLDS, len(index.classes)))
    for row in rows.tolist():
        per_fold[fold_of(str(index.sample_id[row]), FOLDS)] += index.present[row]
    most = int(index.present[rows].sum(0).argmax())  # a class that all show
    others = np.delete(np.arange(len(index.classes)), most)
    assert np.array_equal(found.sums["images"][:, most, others], per_fold[:, others])
