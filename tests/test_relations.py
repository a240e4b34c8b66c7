"""Evidence: sums against a loop over pixels, exact addition, files, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unify.describe import to_parquet
from unify.errors import UnifyError
from unify.relations.evidence import UNIT, Evidence, Void, fold_of, softmax_over

CLASSES, SOURCES = ("road", "ground", "car", "tree"), ("fine", "coarse")
ANNOTATED = np.array([[1, 0, 1, 1], [0, 1, 1, 0]], bool)


def empty(**options) -> Evidence:
    return Evidence.empty(CLASSES, SOURCES, ANNOTATED, made_from={"checkpoint": "1f"}, **options)


def images(n: int, seed: int = 0):
    """(source, sample_id, labels, cosines, logits)"""
    rng = np.random.default_rng(seed)
    for i in range(n):
        source = SOURCES[int(rng.integers(2))]
        cosines = rng.uniform(-1, 1, (50, 4)).astype(np.float32)
        labels = rng.choice([0, 1, 2, 3, 4, 255], 50).astype(np.uint8)
        yield source, f"{source}/train/{seed}-{i}", labels, cosines, 20 * cosines


def swept(pictures) -> Evidence:
    evidence = empty()
    for picture in pictures:
        evidence = evidence.add(*picture)
    return evidence


def state(evidence: Evidence) -> str:
    return json.dumps(evidence.to_json())


def test_sums_are_those_of_a_loop_over_pixels():
    pictures = list(images(6))
    evidence = swept(pictures)
    pixels, scores, answers = {}, {}, {}
    shown = {}
    for source, sample_id, labels, cosines, logits in pictures:
        s, f = SOURCES.index(source), fold_of(sample_id)
        for c in range(4):
            if ANNOTATED[s, c] and (labels == c).any():
                shown[f, s, c] = shown.get((f, s, c), 0) + 1
        for label, cosine, logit in zip(labels.tolist(), cosines.tolist(), logits.tolist(), strict=True):
            if label >= 4 or not ANNOTATED[s, label]:
                continue
            pixels[f, s, label] = pixels.get((f, s, label), 0) + 1
            for k in range(4):
                scores[f, s, label, k] = scores.get((f, s, label, k), 0.0) + cosine[k]
            for o in range(2):
                total = math.fsum(math.exp(logit[k]) for k in range(4) if ANNOTATED[o, k])
                for k in range(4):
                    share = math.exp(logit[k]) / total if ANNOTATED[o, k] else 0.0
                    answers[f, s, label, o, k] = answers.get((f, s, label, o, k), 0.0) + share
    for name, found, unit in (("pixels", pixels, 1), ("images", shown, 1), ("scores", scores, UNIT)):
        for at in np.ndindex(getattr(evidence, name).shape):
            assert getattr(evidence, name)[at] / unit == pytest.approx(found.get(at, 0), abs=1e-6), (name, at)
    for at in np.ndindex(evidence.answers.shape):
        assert evidence.answers[at] / UNIT == pytest.approx(answers.get(at, 0), abs=1e-5), at
    total = {c: sum(v for (_, s, label), v in pixels.items() if (s, label) == (0, c)) for c in (0, 2, 3)}
    for c, n in total.items():
        mean = sum(v for (_, s, label, k), v in scores.items() if (s, label, k) == (0, c, 1)) / n
        assert evidence.mean_scores()[0, c, 1] == pytest.approx(mean, abs=1e-6)
    assert np.isnan(evidence.mean_scores()[0, 1]).all(), "fine has no ground"


def test_any_order_and_any_division_give_the_same_bytes():
    pictures = list(images(12))
    whole = swept(pictures)
    assert state(swept(reversed(pictures))) == state(whole)
    for cut in (0, 1, 5, 12):
        first, second = swept(pictures[:cut]), swept(pictures[cut:])
        assert state(first.merge(second)) == state(second.merge(first)) == state(whole)
    a, b, c = (swept(pictures[i : i + 4]) for i in (0, 4, 8))
    assert state(a.merge(b).merge(c)) == state(a.merge(b.merge(c))) == state(whole)
    assert whole.digest == swept(pictures).digest != swept(pictures[1:]).digest


def test_adding_leaves_the_old_evidence_alone():
    before = swept(images(2))
    text = state(before)
    before.add(*next(images(1, seed=5)))
    assert state(before) == text


def test_json_and_parquet_give_it_back(tmp_path):
    for evidence in (swept(images(5)), empty(), empty(with_answers=False, folds=1)):
        again = Evidence.from_json(json.loads(state(evidence)))
        assert state(again) == state(evidence) and again.digest == evidence.digest
        (tmp_path / "sums.parquet").write_bytes(to_parquet(evidence.to_table()))
        assert state(Evidence.from_table(pq.read_table(tmp_path / "sums.parquet"))) == state(evidence)


def test_folds_are_the_same_for_a_name_and_all_in_use():
    folds = [fold_of(f"idd/train/{i}") for i in range(400)]
    assert folds == [fold_of(f"idd/train/{i}") for i in range(400)]
    assert set(folds) == set(range(8))
    assert min(np.bincount(folds)) > 25


def test_softmax_over_a_subset():
    logits = np.array([[1.0, 2.0, 1000.0], [0.0, 0.0, -1000.0]])
    p = softmax_over(logits, np.array([True, True, False]))
    assert p[0] == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e), 0])
    assert p[1] == pytest.approx([0.5, 0.5, 0])
    assert (softmax_over(logits, np.zeros(3, bool)) == 0).all()


ONE = (np.array([1, 0, 0, 0]), np.zeros((4, 4)), np.zeros((4, 2, 4)))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"scores": 1.5}, "scores are larger than their number of pixels allows"),
        ({"scores": float("nan")}, "scores are NaN"),
        ({"answers": 1.5}, "answers are larger"),
        ({"pixels": 1 << 40}, "more pixels than sums can hold"),
    ],
)
def test_sums_that_no_net_gives_are_refused(change, what):
    pixels, scores, answers = (a.copy() for a in ONE)
    scores[0, 1], answers[0, 1, 1] = change.get("scores", 0.5), change.get("answers", 0.5)
    pixels[0] = change.get("pixels", 1)
    with pytest.raises(UnifyError, match=what) as e:
        empty().add_sums("fine", 0, pixels, scores, answers)
    assert e.value.exit_code == 65


def test_sums_at_the_limit_are_taken():
    pixels, scores, answers = (a.copy() for a in ONE)
    pixels[0], scores[0, 0], answers[0, 0, 0] = 1 << 38, float(1 << 38), float(1 << 38)
    evidence = empty().add_sums("fine", 3, pixels, scores, answers)
    assert evidence.mean_scores()[0, 0, 0] == 1


def test_parts_of_different_sweeps_are_not_merged():
    whole = empty()
    others = {
        "origins": dataclasses.replace(whole, made_from={"checkpoint": "2e"}),
        "folds": empty(folds=4),
        "answers": empty(with_answers=False),
        "classes": dataclasses.replace(whole, classes=("a", "b", "c", "d")),
        "null masks": Evidence.empty(CLASSES, SOURCES, ~ANNOTATED, made_from={"checkpoint": "1f"}),
    }
    for name, other in others.items():
        with pytest.raises(UnifyError, match=f"two parts with different {name}") as e:
            whole.merge(other)
        assert e.value.exit_code == 2


def test_files_that_are_no_evidence():
    good = swept(images(3)).to_json()
    row = good["rows"][0]
    wrong = [
        {**good, "unit": 1},
        {**good, "classes": ["road"]},
        {k: v for k, v in good.items() if k != "rows"},
        {**good, "rows": [{**row, "label": "sky"}]},
        {**good, "rows": [{**row, "scores": [1]}]},
        {**good, "rows": [{**row, "fold": 99}]},
        {**good, "rows": [{**row, "fold": -1}]},
        {**good, "rows": [{**row, "source": "coarse", "label": "tree"}]},
        {**good, "rows": [{**row, "pixels": -1}]},
        {**good, "annotates": {**good["annotates"], "fine": ["sky"]}},
    ]
    for data in wrong:
        with pytest.raises(UnifyError) as e:
            Evidence.from_json(data)
        assert [p.kind for p in e.value.problems] == ["bad-artifact"]
    with pytest.raises(UnifyError, match="its format is 3") as e:
        Evidence.from_json({**good, "format": 3})
    assert e.value.exit_code == 78
    with pytest.raises(UnifyError, match="says nothing of classes"):
        Evidence.from_table(pa.table({"fold": [1]}))


def with_void(evidence: Evidence, seed: int = 0) -> Evidence:
    """Some void for each fold and source, with answers that leave void a share."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 50, evidence.pixels.shape[:2])
    answers = rng.dirichlet([1, 1, 1, 1, 2], (*pixels.shape, 2))[..., :4] * ANNOTATED
    return dataclasses.replace(
        evidence, void=Void(pixels, np.rint(answers * pixels[..., None, None] * UNIT).astype(np.int64))
    )


def test_void_is_written_and_read_and_what_has_none_stays_what_it_was():
    plain = swept(images(8))
    evidence = with_void(plain)
    for again in (Evidence.from_json(json.loads(state(evidence))), Evidence.from_table(evidence.to_table())):
        assert state(again) == state(evidence) and again.digest == evidence.digest != plain.digest
        assert np.array_equal(again.void.pixels, evidence.void.pixels)
        assert np.array_equal(again.void.answers, evidence.void.answers)
    assert plain.to_json()["format"] == 1 and "with_void" not in plain.to_json() and evidence.to_json()["format"] == 2
    assert Evidence.from_json(plain.to_json()).void is None
    both = evidence.merge(with_void(swept(images(4, 9)), 1))
    assert both.void.pixels.sum() == evidence.void.pixels.sum() + with_void(plain, 1).void.pixels.sum()
    with pytest.raises(UnifyError, match="different void"):
        evidence.merge(plain)
    kept = np.arange(8) % 2 == 0
    half = evidence.of_folds(kept)
    for name in ("pixels", "images", "scores", "answers"):
        assert np.array_equal(getattr(half, name), getattr(evidence, name)[kept])
    assert np.array_equal(half.void.pixels, evidence.void.pixels[kept]) and len(half.void.answers) == 4
    with pytest.raises(UnifyError, match="void without answers"):
        dataclasses.replace(evidence, answers=None)
    with pytest.raises(UnifyError, match="void's pixels is"):
        dataclasses.replace(evidence, void=Void(evidence.void.pixels[:1], evidence.void.answers))


def test_totals_with_void_are_those_of_loops():
    evidence = with_void(swept(images(8)))
    pixels, answers = evidence.totals_with_void()
    for s in range(2):
        for c in range(5):
            own = evidence.void.pixels[:, s] if c == 4 else evidence.pixels[:, s, c]
            assert pixels[s, c] == sum(own.tolist())
            for o in range(2):
                cells = evidence.void.answers[:, s, o] if c == 4 else evidence.answers[:, s, c, o]
                told = [sum(cells[:, k].tolist()) for k in range(4)]
                assert answers[s, c, o].tolist() == [*told, max(0, int(pixels[s, c]) * UNIT - sum(told))]
    plain = dataclasses.replace(evidence, void=None)
    assert np.array_equal(plain.totals_with_void()[1], plain.total("answers"))
