"""A classifier fitted anew: what is drawn and read against loops and whole maps, what is answered against Bayes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from trainers import checkpoint, refit, sweep  # noqa: E402
from trainers.checkpoint import Checkpoint  # noqa: E402
from trainers.data import Samples  # noqa: E402
from trainers.models import build  # noqa: E402
from trainers.refit import Pixels  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.relations.evidence import UNIT, Evidence  # noqa: E402

from .worlds import tiny_streets  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return tiny_streets(tmp_path_factory.mktemp("streets"), images=6)


def saved(artifact, folder, model="tiny"):
    taxonomy = artifact.taxonomy
    torch.manual_seed(5)
    net = build(model, len(taxonomy.space.names))
    whole = Checkpoint(
        net.config,
        taxonomy.space.names,
        taxonomy.to_json()["space"],
        taxonomy.digest(),
        ("x",),
        "ce",
        1,
        dict(net.state_dict()),
    )
    checkpoint.save(whole, folder)
    return folder / "ckpt.pt"


def test_pixels_are_drawn_evenly_and_stand_for_all(monkeypatch):
    """A code of 3 is a class that the source lacks, 7 a set of classes; void counts as label 5."""
    monkeypatch.setattr(refit, "_DRAWN", 10)
    monkeypatch.setattr(refit, "_VOID_DRAWN", 20)
    rng = np.random.default_rng(0)
    label = rng.choice([0, 1, 3, 4, 7, 255], (20, 30), p=[0.6, 0.01, 0.1, 0.09, 0.1, 0.1]).astype(np.uint8)
    known = np.array([True, True, True, False, True])
    place, labels, weight = (v.numpy() for v in refit._chosen(label, known, rng, 0.5))
    assert {tuple(p) for p in place} <= set(np.ndindex(20, 30)) and len({tuple(p) for p in place}) == len(place)
    for code, value, most in ((0, 0, 5), (1, 1, 5), (4, 4, 5), (255, 5, 10)):
        mine = labels == value
        count = int((label == code).sum())
        assert (label[tuple(place[mine].T)] == code).all() and mine.sum() == min(most, count)
        assert weight[mine].sum() == pytest.approx(count)
    assert set(labels) == {0, 1, 4, 5}
    nothing = refit._chosen(np.full((4, 4), 7, np.uint8), known, rng, 1.0)
    assert [len(v) for v in nothing] == [0, 0, 0]


def test_columns_are_those_of_whole_maps():
    """An image whose sides are no multiples of the net's: padded by hand, all maps enlarged to its size."""
    torch.manual_seed(0)
    net = build("tiny", 5, output_stride=4).eval()
    image = torch.randn(1, 3, 45, 70)
    place = torch.stack([torch.randint(45, (60,)), torch.randint(70, (60,))], 1)
    padded = F.pad(image, (0, 2, 0, 3), mode="replicate")
    with torch.no_grad():
        found, logits = refit._columns(net, image, place)
        features, maps = net.features(image), net.outputs(image)[2]
        whole = net(image)[0][:, place[:, 0], place[:, 1]].T
    fourth = F.avg_pool2d(padded, 4)

    def around(value, window, power=1):  # the mean over what is there of a window
        sums = [F.conv2d(v, torch.ones(1, 1, window, window), padding=window // 2) for v in (value[0][:, None] ** power,
                torch.ones_like(value[0][:, None]))]  # fmt: skip
        return (sums[0] / sums[1])[:, 0][None]

    spread = (around(fourth, 5, 2) - around(fourth, 5) ** 2).clamp_min(0).sqrt()
    parts = [features, *maps, around(features, 9), around(maps[-1], 9), around(fourth, 5), spread, around(fourth, 17)]
    at = [F.interpolate(p, size=(48, 72), mode="bilinear")[0][:, place[:, 0], place[:, 1]].T for p in parts]
    own = image[0][:, place[:, 0], place[:, 1]].T
    centre = (place + 0.5) / torch.tensor([48.0, 72.0]) * 2 - 1
    torch.testing.assert_close(found, torch.cat([*at, own, centre], 1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits, whole, atol=1e-4, rtol=1e-4)


def clouds(n: int, seed: int = 0) -> tuple[Pixels, torch.Tensor]:
    """Three concepts on a line, two sources: 0 calls them a, b and void, 1 calls them void, c and c. The first concept
    is rare. What each source would truly answer, by Bayes: (N, S, K)."""
    rng = np.random.default_rng(seed)
    chance, centre = np.array([0.05, 0.55, 0.4]), np.array([-1.5, 0.0, 1.5])
    called = np.array([[0, 1, 3], [3, 2, 2]])
    source = rng.integers(2, size=n)
    concept = rng.choice(3, n, p=chance)
    x = centre[concept] + rng.normal(size=n)
    likely = chance * np.exp(-0.5 * (x[:, None] - centre) ** 2)
    likely /= likely.sum(1, keepdims=True)
    truth = np.stack([[likely[:, called[s] == k].sum(1) for k in range(3)] for s in (0, 1)]).transpose(2, 0, 1)
    columns = np.stack([x, rng.normal(size=n)], 1)
    fold = np.arange(n) % 8
    tensors = [torch.from_numpy(v) for v in (columns, called[source, concept], source, fold, np.ones(n))]
    return Pixels(tensors[0].half(), *tensors[1:]), torch.from_numpy(truth)


@pytest.mark.parametrize("is_half", [False, True])
def test_answers_are_those_of_bayes(is_half):
    pixels, truth = clouds(40_000)
    options = {"device": torch.device("cpu"), "passes": 20, "is_half": is_half, "seed": 0}
    answers = refit.fit(pixels, torch.arange(30_000), 2, 3, **options)
    found = answers(pixels.columns[30_000:]).double()
    assert (found[:, 0, 2] < 1e-6).all() and (found[:, 1, :2] < 1e-6).all(), "a source answers with its own alone"
    assert (found - truth[30_000:]).abs().mean() < 0.015, (found - truth[30_000:]).abs().mean()
    assert (found.mean(0) - truth[30_000:].mean(0)).abs().max() < 0.02, "for the true frequencies"


def test_no_image_is_answered_by_what_was_fitted_to_it(monkeypatch):
    """Sums against a loop over pixels, the fit being replaced by one that tells of the pixels it was given."""
    pixels, _ = clouds(200)
    evidence = Evidence.empty(("a", "b", "c"), ("x", "y"), np.array([[1, 1, 0], [0, 0, 1]], bool), with_answers=False)
    columns = torch.stack([torch.arange(200.0), torch.zeros(200)], 1).half()
    weight = torch.from_numpy(np.random.default_rng(1).integers(1, 9, 200).astype(np.float64))
    pixels = Pixels(columns, pixels.label, pixels.source, pixels.fold, weight)
    seen = []

    def fit(given, chosen, sources, k, **options):
        seen.append(set(chosen.tolist()))
        return lambda columns: columns[:, :1, None].float() / 1000 + torch.arange(6.0).view(1, 2, 3) / 100

    monkeypatch.setattr(refit, "fit", fit)
    found = refit.answered(evidence, pixels, device=torch.device("cpu"), passes=1.0)
    assert [sorted(chosen) for chosen in seen] == [[n for n in range(200) if n % 8 % 4 != g] for g in range(4)]
    sums, void, count = np.zeros((8, 2, 4, 2, 3)), np.zeros((8, 2)), np.zeros((8, 2, 4))
    for n in range(200):
        cell = int(pixels.fold[n]), int(pixels.source[n]), int(pixels.label[n])
        for o, k in np.ndindex(2, 3):
            sums[(*cell, o, k)] += float(weight[n]) * (n / 1000 + (3 * o + k) / 100)
        count[cell] += float(weight[n])
    void = count[:, :, 3]
    np.testing.assert_allclose(found.answers / UNIT, sums[:, :, :3], rtol=1e-3, atol=1e-6)  # columns are float16
    np.testing.assert_allclose(found.void.answers / UNIT, sums[:, :, 3], rtol=1e-3, atol=1e-6)
    assert np.array_equal(found.void.pixels, void) and void.any()
    one = Pixels(*(v[pixels.fold == 2] for v in (columns, pixels.label, pixels.source, pixels.fold, weight)))
    with pytest.raises(UnifyError, match="all images are in one group"):
        refit.answered(evidence, one, device=torch.device("cpu"), passes=1.0)


def test_evidence_has_all_pixels_and_void(artifact, tmp_path, monkeypatch):
    """Counts as in a sweep; where everything is drawn, the same cosines too. The same seed gives the same bytes."""
    path = saved(artifact, tmp_path)
    told = []
    found = refit.evidence_of(path, artifact, passes=0.2, advance=lambda images, size: told.append(images))
    swept = sweep.evidence_of(path, artifact)
    assert told == [1] * 12
    assert np.array_equal(found.pixels, swept.pixels) and np.array_equal(found.images, swept.images)
    assert found.made_from == swept.made_from and found.void is not None
    samples = Samples(build_index([artifact]), None)
    rows = [row for row, shard in enumerate(samples.index.shard) if samples.index.shards[shard].split == "train"]
    void = [int((samples[row].label_hw == 255).sum()) for row in rows]
    assert found.void.pixels.sum() == sum(void) > 0
    pixels, answers = found.totals_with_void()
    assert answers.sum(axis=3) == pytest.approx(np.repeat(pixels[..., None] * UNIT, 2, axis=2), rel=1e-6)
    assert not answers[:, :, 0][:, :, :-1][..., ~found.annotated[0]].any()
    assert refit.evidence_of(path, artifact, passes=0.2).digest == found.digest
    assert refit.evidence_of(path, artifact, passes=0.2, seed=1).digest != found.digest
    monkeypatch.setattr(refit, "_DRAWN", 10**6)
    monkeypatch.setattr(refit, "_MOST", 10**9)
    every = refit.evidence_of(path, artifact, passes=0.01)
    assert np.abs(every.mean_scores() - swept.mean_scores())[swept.total("pixels") > 0].max() < 1e-4


def test_nets_that_cannot_be_refitted_are_one_line(artifact, tmp_path):
    with pytest.raises(UnifyError, match="no one map of features") as e:
        refit.evidence_of(saved(artifact, tmp_path, "tiny+tiny"), artifact)
    assert e.value.exit_code == 2
