"""`unify.draws.samplers` against exact expectations, naive loops, and frozen draws."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from unify.draws import samplers
from unify.draws.index import Centroids, Index, Shard, Version
from unify.draws.samplers import SAMPLERS, apportion, deal, dealt, draw, permutation, shard, stream, systematic
from unify.errors import UnifyError

ROOT = Path(__file__).parents[1]
SIZES = {"alpha": 30, "beta": 7, "gamma": 90}
CLASSES = ("road", "car", "train", "sky", "never")


def make_index(sizes=SIZES, classes=CLASSES, shown=None, with_centroids=True, seed=0) -> Index:
    """Rows of some sources; `shown`: share of the images with each class. Up to two centroids for each it shows."""
    rng = np.random.default_rng(seed)
    shown = np.array([0.9, 0.5, 0.04, 0.3, 0.0][: len(classes)] if shown is None else shown)
    n = sum(sizes.values())
    present = rng.random((n, len(classes))) < shown
    places = [
        (k, row, int(rng.integers(0, 64)), int(rng.integers(tile * 64, tile * 64 + 64)))
        for k in range(len(classes))
        for row in np.flatnonzero(present[:, k])
        for tile in range(rng.integers(1, 3))
    ]
    k, row, y, x = np.array(places, np.int32).reshape(-1, 4).T
    start = np.concatenate([[0], np.cumsum(np.bincount(k, minlength=len(classes)))])
    return Index(
        "toy",
        classes,
        (Version(None, "toy", "1.0.0", "0" * 64, with_centroids),),
        tuple(Shard(0, f"data/{name}/train-0.parquet", name, "v1", "train") for name in sizes),
        np.repeat(np.arange(len(sizes), dtype=np.int32), list(sizes.values())),
        np.concatenate([np.arange(size, dtype=np.int32) for size in sizes.values()]),
        pa.array([f"{name}/train/{i}" for name, size in sizes.items() for i in range(size)]),
        present,
        Centroids(start, row, y, x),
    )


INDEX = make_index()


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, f), getattr(b, f)) for f in ("row", "target_class", "centre_yx", "part"))


def counts(epochs) -> np.ndarray:
    return sum(np.bincount(epoch.row, minlength=len(INDEX)) for epoch in epochs)


# --- Chance -------------------------------------------------------------------------------------------------


def test_words_are_those_of_pcg64_seeded_with_a_digest():
    seed = int.from_bytes(blake3(b'[7, "x", 3]').digest(), "big")
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))).bit_generator.random_raw(5)
    assert np.array_equal(samplers.random_words(5, 7, "x", np.int64(3)), expected)


@given(st.integers(0, 300), st.integers(0, 9))
def test_a_permutation_has_everything_once(size, key):
    found = permutation(size, key)
    assert sorted(found.tolist()) == list(range(size))
    assert np.array_equal(found, permutation(size, key))


def test_all_permutations_are_equally_likely():
    draws = 4800
    found = Counter(tuple(permutation(4, "test", i).tolist()) for i in range(draws))
    assert set(found) == set(itertools.permutations(range(4)))
    expected = draws / 24
    chi2 = sum((n - expected) ** 2 / expected for n in found.values())
    assert chi2 < 49.7, "chi-square, 23 degrees of freedom, p = 0.001"


@given(st.integers(1, 40), st.integers(0, 200), st.integers(0, 200))
def test_dealing_goes_through_one_permutation_after_the_other(size, start, count):
    endless = np.concatenate([permutation(size, "k", number) for number in range((start + count) // size + 1)])
    found = deal(size, start, count, "k")
    assert found.tolist() == endless[start : start + count].tolist()
    assert dealt(size, start, "k").tolist() == np.bincount(endless[:start], minlength=size).tolist()


@given(
    st.integers(0, 5000),
    st.lists(st.one_of(st.integers(1, 1000), st.floats(0.001, 1, allow_nan=False)), min_size=1, max_size=8),
)
def test_apportioning_is_exact_to_rounding(count, weights):
    parts = apportion(count, weights)
    exact = [Fraction(repr(float(w))) for w in weights]
    quotas = [count * w / sum(exact) for w in exact]
    assert sum(parts) == count
    assert all(math.floor(q) <= n <= math.ceil(q) for n, q in zip(parts, quotas, strict=True))
    more = [q - math.floor(q) for n, q in zip(parts, quotas, strict=True) if n > q]
    fewer = [q - math.floor(q) for n, q in zip(parts, quotas, strict=True) if n < q]
    assert not more or not fewer or min(more) >= max(fewer), "who gets one more has the larger remainder"


def test_apportioning_by_hand():
    assert apportion(2975, [0.4, 0.4, 0.2]) == [1190, 1190, 595], "the example of the SeeThroughNet supplement"
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(10, [0.1] * 10) == [1] * 10
    assert apportion(3, [0.9, 0.06, 0.04]) == [3, 0, 0]
    assert apportion(5, [0.9, 0.1]) == [5, 0], "4.5 and 0.5: in binary, 0.1 is a little more than a tenth"


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e3)), min_size=1, max_size=30).filter(any),
    st.integers(0, 100),
    st.integers(0, 5),
)
def test_systematic_draws_are_the_expectation_rounded(weights, count, key):
    found = np.bincount(systematic(np.array(weights), count, key), minlength=len(weights))
    assert found.sum() == count
    for n, weight in zip(found.tolist(), weights, strict=True):
        expected = count * weight / math.fsum(weights)
        assert expected - 1 - 1e-6 < n < expected + 1 + 1e-6
        assert weight or not n


@pytest.mark.parametrize("word", [0, 2**64 - 1])
def test_systematic_draws_at_both_ends_of_the_comb(monkeypatch, word):
    monkeypatch.setattr(samplers, "random_words", lambda count, *key: np.full(count, word, np.uint64))
    for weights in ([1.0], [0.1] * 10, [0.3, 0.0, 0.6, 0.0], [1 / 3] * 3, [0.0, 1e-9]):
        for count in (1, 2, 5, 7, 10, 1000):
            found = systematic(np.array(weights), count, "x")
            assert len(found) == count
            assert all(weights[i] for i in found)


def test_systematic_draws_have_the_right_expectation():
    weights, count, rounds = np.array([5.0, 1.0, 0.0, 2.5, 0.3, 7.2]), 4, 4000
    total = sum(np.bincount(systematic(weights, count, "mean", i), minlength=6) for i in range(rounds))
    expected = rounds * count * weights / weights.sum()
    # Each draw of an image is a coin with at most variance 1/4.
    assert (abs(total - expected) <= 4 * np.sqrt(rounds / 4)).all()


# --- All samplers -------------------------------------------------------------------------------------------

#: BLAKE3 of the draws of epoch 3 under seed 5. A change here breaks every run that is to be repeated or resumed.
FROZEN = {
    "uniform": "93288c1047912e64",
    "class-uniform": "0d4704aacafcb20b",
    "proportional": "37163385a71a6c84",
    "balanced": "b0b55421fb91a020",
    "temperature": "c89d1d41319230c8",
    "repeat-factor": "f3bf5466c0c65d86",
    "inverse-frequency": "6d748bb83b2b19a9",
}


def fingerprint(epoch) -> str:
    table = np.column_stack([epoch.row, epoch.target_class, epoch.centre_yx, epoch.part]).astype("<i8")
    return blake3(table.tobytes()).hexdigest()[:16]


def frozen_draws() -> dict[str, str]:
    return {name: fingerprint(draw(name, INDEX, seed=5, epoch=3, count=100)) for name in SAMPLERS}


def test_draws_are_frozen():
    assert frozen_draws() == FROZEN


def test_draws_do_not_depend_on_the_process():
    code = "from tests.test_samplers import frozen_draws; print(frozen_draws())"
    for hash_seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed},
        )
        assert out.stdout.strip() == str(FROZEN)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_epoch_is_a_pure_function_of_index_seed_and_number(name):
    first = draw(name, INDEX, 1, 4, 50)
    draw(name, INDEX, 1, 0, 50)
    samplers._kept_round.cache_clear()
    assert same(first, draw(name, INDEX, 1, 4, 50)), "whatever was drawn before"
    assert not same(first, draw(name, INDEX, 1, 5, 50))
    assert not same(first, draw(name, INDEX, 2, 4, 50))
    assert len(first) == 50
    assert first.row.dtype == np.int64 and first.target_class.dtype == np.int16 and first.centre_yx.dtype == np.int32
    assert first.row.min() >= 0 and first.row.max() < len(INDEX)
    for array in (first.row, first.target_class, first.centre_yx, first.part):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("count", [1, 2, 1000])
def test_any_number_of_draws(name, count):
    assert len(draw(name, INDEX, 0, 0, count)) == count
    assert len(draw(name, make_index({"one": 1}, shown=[1.0] * 5), 0, 0, count)) == count


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_order_says_nothing(name):
    """Whatever is drawn comes mixed: the mean place of each source's draws is the middle."""
    epoch = draw(name, INDEX, 0, 0, 3000)
    _, source = INDEX.sources()
    for i in range(len(SIZES)):
        places = np.flatnonzero(source[epoch.row] == i)
        assert abs(places.mean() - 1500) < 4 * 3000 / math.sqrt(12 * len(places))


# --- Each sampler -------------------------------------------------------------------------------------------


def test_uniform_is_a_permutation():
    assert sorted(draw("uniform", INDEX, 0, 0).row.tolist()) == list(range(len(INDEX)))
    assert sorted(draw("uniform", INDEX, 0, 1).row.tolist()) == list(range(len(INDEX)))


@pytest.mark.parametrize("count", [1, 50, 127, 200])
def test_no_image_is_more_than_one_draw_ahead_over_epochs(count):
    for number in (1, 2, 7):
        found = counts(draw("uniform", INDEX, 3, e, count) for e in range(number))
        assert found.max() - found.min() <= 1


@pytest.mark.parametrize("share", [0.5, 1.0, 0.3])
def test_class_uniform_draws_every_class_equally_often(share):
    occurring = [k for k in range(5) if INDEX.present[:, k].any()]
    assert occurring == [0, 1, 2, 3]
    total = np.zeros(5, int)
    for number in range(5):
        epoch = draw("class-uniform", INDEX, 0, number, 90, {"class_share": share})
        found = np.bincount(epoch.target_class[epoch.target_class >= 0], minlength=5)
        assert found.sum() == round(90 * share)
        assert np.ptp(found[occurring]) <= 2 and found[4] == 0, "2 where a round begins within the epoch"
        total += found
    assert np.ptp(total[occurring]) <= 1, "the odd draws go round"


def test_class_uniform_aims_at_places_that_show_the_class():
    places = {
        (k, int(INDEX.centroids.row[i]), int(INDEX.centroids.y[i]), int(INDEX.centroids.x[i]))
        for k in range(5)
        for i in range(INDEX.centroids.start[k], INDEX.centroids.start[k + 1])
    }
    found = Counter()
    for number in range(40):
        for row, k, y, x in draw("class-uniform", INDEX, 0, number, 90):
            if k < 0:
                assert (y, x) == (-1, -1)
            else:
                assert INDEX.present[row, k]
                found[k, row, y, x] += 1
    assert set(found) == places, "each comes up in the end"
    for k in range(4):
        times = [found[place] for place in places if place[0] == k]
        assert max(times) - min(times) <= 1


def test_the_rest_of_class_uniform_is_uniform():
    epochs = [draw("class-uniform", INDEX, 0, number, 90) for number in range(8)]
    rest = counts(epoch[epoch.target_class < 0] for epoch in epochs)
    assert rest.sum() == 8 * 45
    assert np.ptp(rest) <= 1


def test_class_uniform_without_centroids_refuses_or_draws_whole_images():
    index = make_index(with_centroids=False)
    with pytest.raises(UnifyError, match=r"usage: toy 1\.0\.0: has no centroids.*--centroids.*--set centres=false"):
        draw("class-uniform", index, 0, 0)
    epoch = draw("class-uniform", index, 0, 0, 400, {"centres": False, "class_share": 1.0})
    assert (epoch.centre_yx == -1).all()
    assert all(index.present[row, k] for row, k, _, _ in epoch)
    assert np.bincount(epoch.target_class, minlength=5).tolist() == [100, 100, 100, 100, 0]
    for k in range(4):
        times = np.bincount(epoch.row[epoch.target_class == k], minlength=len(index))[index.present[:, k]]
        assert np.ptp(times) <= 1


def test_images_without_any_class_leave_nothing_to_aim_at():
    empty = make_index(shown=[0.0] * 5)
    for name in ("class-uniform", "inverse-frequency"):
        with pytest.raises(UnifyError, match="none of the images shows a class"):
            draw(name, empty, 0, 0)


def sources_of(epoch) -> dict[str, int]:
    names, source = INDEX.sources()
    return dict(zip(names, np.bincount(source[epoch.row], minlength=len(names)).tolist(), strict=True))


def test_sources_of_an_epoch():
    assert sources_of(draw("proportional", INDEX, 0, 0)) == SIZES
    assert sources_of(draw("proportional", INDEX, 0, 7, 1270)) == {name: 10 * n for name, n in SIZES.items()}
    assert sources_of(draw("balanced", INDEX, 0, 0, 300)) == dict.fromkeys(SIZES, 100)
    roots = {name: math.sqrt(n) for name, n in SIZES.items()}
    found = sources_of(draw("temperature", INDEX, 0, 0, 10_000))
    assert all(abs(found[name] - 10_000 * r / sum(roots.values())) < 1 for name, r in roots.items())
    assert sources_of(draw("temperature", INDEX, 0, 0, 127, {"temperature": 1})) == SIZES
    assert sources_of(draw("temperature", INDEX, 0, 0, 300, {"temperature": 1e6})) == dict.fromkeys(SIZES, 100)


@pytest.mark.parametrize("name", ["proportional", "balanced", "temperature"])
def test_within_a_source_none_is_ahead_over_epochs(name):
    _, source = INDEX.sources()
    found = counts(draw(name, INDEX, 0, number, 50) for number in range(9))
    for i in range(len(SIZES)):
        assert np.ptp(found[source == i]) <= 1


def test_balanced_gives_the_odd_draw_to_all_in_turn():
    total = Counter()
    for number in range(6):
        total.update(sources_of(draw("balanced", INDEX, 0, number, 100)))
    assert total == dict.fromkeys(SIZES, 200)


def naive_repeat_factor(row: np.ndarray, threshold: float) -> float:
    n, factors = len(INDEX), [1.0]
    for k in np.flatnonzero(row):
        share = sum(bool(x) for x in INDEX.present[:, k]) / n
        factors.append(max(1.0, math.sqrt(threshold / share)))
    return max(factors)


@pytest.mark.parametrize("threshold", [0.001, 0.1, 1.0])
def test_repeat_factor_is_that_of_a_loop(threshold):
    expected = [naive_repeat_factor(row, threshold) for row in INDEX.present]
    assert samplers.repeat_factors(INDEX, threshold).tolist() == pytest.approx(expected, rel=1e-12)
    epoch = draw("repeat-factor", INDEX, 0, 2, options={"threshold": threshold})
    assert len(epoch) == round(sum(expected))
    found = counts([epoch])
    scale = len(epoch) / sum(expected)
    assert all(abs(n - scale * r) < 1 + 1e-9 for n, r in zip(found, expected, strict=True))
    if threshold == 0.001:
        assert (found == 1).all(), "no class is as rare"
    total = counts(draw("repeat-factor", INDEX, 0, e, options={"threshold": threshold}) for e in range(300))
    # The odd draw is a coin: variance at most 1/4.
    assert (abs(total - 300 * scale * np.array(expected)) <= 5 * math.sqrt(300 / 4)).all()


def test_inverse_frequency_is_a_class_and_then_an_image_with_it():
    images = INDEX.present.sum(axis=0)
    share = np.zeros(len(INDEX))
    for k in range(4):
        for row in np.flatnonzero(INDEX.present[:, k]):
            share[row] += 1 / 4 / images[k]
    weights = samplers.inverse_frequency_weights(INDEX)
    assert weights / weights.sum() == pytest.approx(share, rel=1e-12)
    total = counts(draw("inverse-frequency", INDEX, 0, e, 64) for e in range(300))
    assert (abs(total - 300 * 64 * share) <= 5 * math.sqrt(300 / 4)).all()
    assert (total[share == 0] == 0).all()


# --- Several processes, and starting in the middle ------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 12))
def test_ranks_share_the_same_epoch(count, world_size, start):
    epoch = draw("class-uniform", INDEX, 0, 1, count)
    parts = [shard(epoch, rank, world_size) for rank in range(world_size)]
    assert {len(part) for part in parts} == {count // world_size}, "no process has a step more"
    whole = [draws for step in zip(*parts, strict=True) for draws in step]
    assert whole == list(epoch)[: count - count % world_size]
    for rank in range(world_size):
        assert list(shard(epoch, rank, world_size, start)) == list(parts[rank])[start:]


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(1, 45), st.integers(0, 70))
def test_a_stream_is_all_epochs_end_to_end_for_any_number_of_processes(length, world_size, start):
    epochs = {number: draw("uniform", INDEX, 0, number, length) for number in range(400)}
    endless = [one for number in range(200) for one in epochs[number]][:200]
    steps = (200 - start) // world_size
    ranks = [itertools.islice(stream(epochs.__getitem__, r, world_size, start), steps) for r in range(world_size)]
    found = [one for step in zip(*ranks, strict=True) for one in step]
    assert found == endless[start : start + steps * world_size]


def test_a_stream_goes_on_where_it_stopped_with_other_processes():
    def epochs(number):
        return draw("class-uniform", INDEX, 0, number, 23)

    undisturbed = list(itertools.islice(stream(epochs), 120))
    first = [list(itertools.islice(stream(epochs, r, 4), 10)) for r in range(4)]
    rest = [list(itertools.islice(stream(epochs, r, 2, start=40), 40)) for r in range(2)]
    resumed = [one for part in (first, rest) for step in zip(*part, strict=True) for one in step]
    assert resumed == undisturbed


# --- Mistakes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("unifrom", {}, "there is no sampler 'unifrom' \\(did you mean 'uniform'\\?\\); known: uniform, class-uniform"),
        ("uniform", {"t": 1}, "sampler uniform has no option 't'; it has none"),
        ("class-uniform", {"share": 1}, "no option 'share'; it has class_share, centres"),
        ("class-uniform", {"class_share": 1.5}, "class_share of sampler class-uniform is from 0 to 1, not 1.5"),
        ("class-uniform", {"class_share": True}, "is a number, not True"),
        ("class-uniform", {"centres": 1}, "is true or false, not 1"),
        ("temperature", {"temperature": 0.5}, r"is from 1 to 1e\+06, not 0.5"),
        ("temperature", {"temperature": float("nan")}, "is from 1 to"),
        ("repeat-factor", {"threshold": "x"}, "is a number, not 'x'"),
    ],
)
def test_unknown_samplers_and_options(name, options, message):
    with pytest.raises(UnifyError, match=f"^unify: usage: .*{message}") as e:
        draw(name, INDEX, 0, 0, options=options)
    assert e.value.exit_code == 2


def test_the_defaults_are_allowed():
    for name, sampler in SAMPLERS.items():
        assert not samplers.option_faults(name, {key: option.default for key, option in sampler.options.items()})
        assert sampler.about
