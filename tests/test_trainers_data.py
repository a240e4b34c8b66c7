"""Batches from versions: the right pixels, the right masks, in the same order for any number of workers."""

from __future__ import annotations

import dataclasses
import io
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from trainers import data  # noqa: E402
from trainers import rows as rows_module  # noqa: E402
from trainers.augment import MEAN, STD, Augment  # noqa: E402
from trainers.data import Order, Place, Samples, batches, normalized  # noqa: E402
from trainers.rows import Rows  # noqa: E402
from unify.artifact import open_artifact  # noqa: E402
from unify.build import build  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.draws.samplers import draw  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.parquet import ARROW_OPTIONS  # noqa: E402

from .layouts import write_cityscapes, write_idd, write_mapillary  # noqa: E402
from .worlds import plan_of  # noqa: E402

AUGMENT = Augment((24, 32), rotation_deg=10, photometric=0.5, blur=0.5)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """Cityscapes, IDD and Mapillary in their union, with centroids; three sizes of images."""
    folder = tmp_path_factory.mktemp("data")
    write_cityscapes(folder / "raw/cityscapes", train=5, val=2)
    write_idd(folder / "raw/idd", train=4, size=(60, 40))
    write_mapillary(folder / "raw/mapillary", train=4, size=(48, 36))
    return build(plan_of(folder / "raw", "C,I,M", options=["centroids"]), folder / "out").artifact


@pytest.fixture(scope="module")
def index(artifact):
    return build_index([artifact])


def order_of(index, n=6, batch_size=3, seed=0, sampler="uniform", **options):
    return Order(lambda epoch: draw(sampler, index, seed, epoch), batch_size, n, **options)


def taken(samples, order, **options) -> list:
    return list(batches(samples, order, **options))


def same(one, other) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x[:5], y[:5], strict=True)
    )


# --- Samples ------------------------------------------------------------------------------------------------


def test_whole_images_are_those_of_the_version(artifact, index):
    samples = Samples(index, None)
    assert len(samples) == len(index) > 10
    for row in range(len(samples)):
        file, place = index.file_of(row)
        stored = pq.read_table(file, partitioning=None).slice(place, 1).to_pylist()[0]
        sample = samples[row]
        image = np.asarray(Image.open(io.BytesIO(stored["image"]["bytes"])).convert("RGB"))
        assert np.array_equal(sample.image_chw.numpy().transpose(1, 2, 0), image)
        assert np.array_equal(sample.label_hw, np.asarray(Image.open(io.BytesIO(stored["label"]["bytes"]))))
        source = stored["sample_id"].split("/")[0]
        assert samples.sources[sample.source] == source and sample.row == row
        mask = artifact.null_mask[artifact.taxonomy.sources.index(source)]
        assert np.array_equal(sample.allowed_k, mask)


def test_evaluation_resizes_the_image_alone(index):
    sample, whole = Samples(index, None, short_side=30)[0], Samples(index, None)[0]
    assert min(sample.image_chw.shape[1:]) == 30 and sample.label_hw.shape == whole.label_hw.shape


def test_sets_have_members(index, artifact):
    samples = Samples(index, None)
    assert samples.members.shape == (len(artifact.taxonomy.sets), len(index.classes))
    made = data._members(("a", "b", "c"), [("a", "c")])
    assert made.tolist() == [[True, False, True]]


def test_normalized_is_zero_at_the_mean():
    image = torch.tensor(MEAN).round().to(torch.uint8)[None, :, None, None].expand(2, 3, 4, 5)
    assert normalized(image).abs().max() < 0.01 and normalized(image, torch.bfloat16).dtype == torch.bfloat16
    expected = (255 - np.array(MEAN)) / STD
    assert np.allclose(normalized(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten(), expected)


@pytest.fixture
def several_groups(artifact, index, tmp_path):
    """A function that writes the first file anew, two rows a group, with these options of the writer."""
    file, _ = index.file_of(0)
    table = pq.read_table(file, partitioning=None)

    def write(**options):
        pq.write_table(table, tmp_path / "rows.parquet", row_group_size=2, **options)
        rows = table.to_pylist()
        return tmp_path / "rows.parquet", [(row["image"]["bytes"], row["label"]["bytes"]) for row in rows]

    return write


@pytest.mark.parametrize("options", [ARROW_OPTIONS, {"compression": "snappy"}, ARROW_OPTIONS | {"compression": "zstd"}])
def test_rows_are_found_in_their_groups(several_groups, options):
    file, expected = several_groups(**options)
    rows = Rows()
    numbers = np.random.default_rng(0).integers(0, len(expected), 30).tolist()
    assert [rows.read(file, n) for n in numbers] == [expected[n] for n in numbers]
    plain = options is ARROW_OPTIONS
    assert len(expected) > 3 and len(rows.spans) == -(-len(expected) // 2)
    assert all((spans is not None) == plain for spans in rows.spans.values()) and bool(rows.groups) != plain


def test_versions_have_rows_that_are_read_one_by_one(index):
    samples = Samples(index, None)
    before = [samples[row] for row in range(len(index))]
    rows = samples._rows
    assert all(rows.spans.values()) and not rows.groups
    rows._group = None  # no row group is read again
    assert all(torch.equal(samples[row].image_chw, before[row].image_chw) for row in range(len(index)))
    pickled = pickle.loads(pickle.dumps(samples))
    assert not pickled._rows.files and torch.equal(pickled[3].label_hw, before[3].label_hw)


def test_the_cache_keeps_no_more_than_it_may(several_groups):
    file, expected = several_groups(compression="zstd")
    none, one = Rows(0), Rows(sum(map(len, expected[0])) + sum(map(len, expected[1])))
    for row in (0, 1, 2, 3, 0):
        assert none.read(file, row) == one.read(file, row) == expected[row]
        assert len(none.groups) == len(one.groups) == 1
    everything = Rows()
    assert [everything.read(file, row) for row in range(len(expected))] == expected
    assert len(everything.groups) == len(everything.spans)


def test_kept_images_are_read_once_and_give_the_same(index, monkeypatch):
    augment = Augment((32, 48))
    expected = taken(Samples(index, augment, seed=1), order_of(index, 12))
    read, reader = [], Rows.read
    monkeypatch.setattr(Rows, "read", lambda rows, file, place: read.append((file, place)) or reader(rows, file, place))

    def as_expected(keep_bytes: int) -> Samples:
        samples = Samples(index, augment, seed=1, keep_bytes=keep_bytes)
        for batch, other in zip(taken(samples, order_of(index, 12)), expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(batch[:5], other[:5], strict=True))
        return samples

    kept = as_expected(1 << 30)._kept
    assert len(read) == len(set(read)) == len(kept) < 36
    assert not any(array.flags.writeable for pair in kept.values() for array in pair)
    one = sum(array.nbytes for array in next(iter(kept.values())))
    assert len(as_expected(one)._kept) == 1  # there is no more room
    assert not as_expected(0)._kept


def test_few_files_stay_open(artifact, index, monkeypatch):
    monkeypatch.setattr(rows_module, "_OPEN_FILES", 2)
    samples = Samples(index, None)
    for row in range(len(index)):
        assert samples[row].row == row and len(samples._rows.files) <= 2
    assert len({index.file_of(row)[0] for row in range(len(index))}) > 2


# --- Order --------------------------------------------------------------------------------------------------


def test_an_order_is_the_epochs_end_to_end(index):
    order = order_of(index, n=10, batch_size=4)
    places = [place for batch in order for place in batch]
    epochs = np.concatenate([draw("uniform", index, 0, epoch).row for epoch in range(5)])
    assert [p.row for p in places] == epochs[:40].tolist()
    assert [p.number for p in places] == list(range(40)) and len(order) == 10


@pytest.mark.parametrize("start", [0, 1, 5, 10, 12])
def test_an_order_goes_on_where_it_stopped(index, start):
    assert list(order_of(index, n=10, start=start)) == list(order_of(index, n=10))[start:]
    assert len(order_of(index, n=10, start=start)) == max(0, 10 - start)


def test_processes_together_take_the_batches_of_one(index):
    whole = list(order_of(index, n=5, batch_size=6, start=2))
    parts = [list(order_of(index, n=5, batch_size=3, start=2, rank=r, world_size=2)) for r in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == whole


def test_centres_reach_the_crop(index):
    """A class-uniform order hands its centres to the augmentation, with the chance of the draw's number."""
    samples, whole = Samples(index, AUGMENT, seed=3), Samples(index, None)
    with_centres = 0
    for batch in order_of(index, n=4, batch_size=4, sampler="class-uniform"):
        for place in batch:
            image_hwc = whole[place.row].image_chw.numpy().transpose(1, 2, 0)
            label_hw = whole[place.row].label_hw.numpy()
            centre_yx = (place.centre_y, place.centre_x) if place.centre_y >= 0 else None
            rng = np.random.default_rng((3, place.number))
            expected, _ = AUGMENT(image_hwc, label_hw, rng, centre_yx)
            assert np.array_equal(samples[place].image_chw.numpy().transpose(1, 2, 0), expected)
            with_centres += centre_yx is not None
    assert with_centres == 8


# --- Batches ------------------------------------------------------------------------------------------------


def test_batches_are_the_same_for_any_number_of_workers(index):
    samples = Samples(index, AUGMENT, seed=5)
    alone = taken(samples, order_of(index))
    assert [b.image_bchw.shape for b in alone] == [(3, 3, 24, 32)] * 6
    assert all(b.image_bchw.dtype == b.label_bhw.dtype == torch.uint8 for b in alone)
    for workers in (1, 2):
        assert same(alone, taken(samples, order_of(index), workers=workers))


@pytest.mark.slow
def test_spawned_workers_give_the_same(index):
    """A script of its own, since the children of pytest would import this file."""
    code = (
        "import sys, pickle\n"
        "from functools import partial\n"
        "from trainers.augment import Augment\n"
        "from trainers.data import Order, Samples, batches\n"
        "from unify.artifact import open_artifact\n"
        "from unify.draws.index import build_index\n"
        "from unify.draws.samplers import draw\n"
        "if __name__ == '__main__':\n"
        f"    index = build_index([open_artifact({str(index.versions[0].path)!r})])\n"
        "    samples = Samples(index, Augment((24, 32), rotation_deg=10, photometric=0.5, blur=0.5), seed=5)\n"
        "    order = Order(partial(draw, 'uniform', index, 0), 3, 6)\n"
        "    found = [b.image_bchw.numpy() for b in batches(samples, order, workers=2, context='spawn')]\n"
        "    sys.stdout.buffer.write(pickle.dumps(found))\n"
    )
    script = index.versions[0].path.parents[2] / "spawned.py"
    script.write_text(code)
    env = {"PYTHONPATH": str(data.__file__).rsplit("/trainers", 1)[0], "PATH": ""}
    out = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, env=env).stdout
    alone = taken(Samples(index, AUGMENT, seed=5), order_of(index))
    assert all(np.array_equal(a, b.image_bchw) for a, b in zip(pickle.loads(out), alone, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on_in_the_middle(index, workers):
    samples = Samples(index, AUGMENT, seed=5)
    whole = taken(samples, order_of(index))
    assert same(whole[4:], taken(samples, order_of(index, start=4), workers=workers))


def test_seeds_epochs_and_draws_differ(index):
    first, second = (Samples(index, AUGMENT, seed=seed)[Place(0, 0, -1, -1)] for seed in (0, 1))
    assert not torch.equal(first.image_chw, second.image_chw)
    samples = Samples(index, AUGMENT)
    assert not torch.equal(samples[Place(0, 0, -1, -1)].image_chw, samples[Place(99, 0, -1, -1)].image_chw)


def test_masks_and_sources_go_with_their_images(index, artifact):
    samples = Samples(index, AUGMENT)
    for batch in batches(samples, order_of(index, n=4)):
        for label_hw, allowed_k, source, row in zip(
            batch.label_bhw, batch.allowed_bk, batch.source_b, batch.row_b, strict=True
        ):
            name = samples.sources[source]
            assert index.shards[index.shard[row]].source == name
            assert np.array_equal(allowed_k, artifact.null_mask[artifact.taxonomy.sources.index(name)])
            shown = set(label_hw.unique().tolist()) - {255}
            assert shown <= set(np.flatnonzero(allowed_k).tolist())


def test_a_batch_trains_a_net(index):
    """One step of Null BCE: all parts fit together."""
    from trainers.ops.bce import null_bce

    net = torch.nn.Conv2d(3, len(index.classes), 1)
    (batch,) = batches(Samples(index, AUGMENT), order_of(index, n=1))
    loss = null_bce(net(normalized(batch.image_bchw)), batch.label_bhw, batch.allowed_bk)
    loss.backward()
    assert loss.isfinite() and net.weight.grad.isfinite().all()


# --- What is refused ----------------------------------------------------------------------------------------


@pytest.fixture
def damaged(artifact, tmp_path):
    """A copy whose files can be overwritten, indexed."""
    shutil.copytree(artifact.path, tmp_path / "v")
    return build_index([open_artifact(tmp_path / "v")])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_one_clear_error(damaged, workers):
    file, _ = damaged.file_of(0)
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 255
    file.write_bytes(content)
    samples = Samples(damaged, None)
    order = order_of(damaged, n=len(damaged), batch_size=1)
    with pytest.raises(UnifyError, match=r"bad-artifact: .*parquet.* — run `unify verify`"):
        taken(samples, order, workers=workers)


def test_a_missing_file_and_an_odd_image_are_named(damaged):
    file, _ = damaged.file_of(0)
    table = pq.read_table(file, partitioning=None)
    rows = table.to_pylist()
    rows[0]["image"]["bytes"] = b"no image"
    pq.write_table(type(table).from_pylist(rows, table.schema), file)
    with pytest.raises(UnifyError, match=rf"{rows[0]['sample_id']}"):
        Samples(damaged, None)[0]
    rows[0]["image"] = rows[1]["image"] | {"bytes": _png(5, 4)}
    pq.write_table(type(table).from_pylist(rows, table.schema), file)
    with pytest.raises(UnifyError, match=r"an image of \(4, 5\), a label of"):
        Samples(damaged, None)[0]
    file.unlink()
    with pytest.raises(UnifyError, match=r"bad-artifact: .*parquet: cannot be read"):
        Samples(damaged, None)[0]


def _png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_checksums_are_looked_at(damaged):
    """A flipped bit within an image, before any decoder sees it."""
    file, place = damaged.file_of(0)
    image, _ = Rows().read(file, place)
    content = bytearray(file.read_bytes())
    content[content.index(image) + len(image) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UnifyError, match=r"bad-artifact: .*CRC"):
        Rows().read(file, place)


def test_another_version_than_the_indexed_is_refused(index):
    other = dataclasses.replace(index.versions[0], digest="0" * 64)
    with pytest.raises(UnifyError, match="is another version than the index is over"):
        Samples(dataclasses.replace(index, versions=(other,)), None)


def test_images_of_several_sizes_do_not_stack(index):
    with pytest.raises(UnifyError, match=r"usage: images of [23] sizes in a batch: \d+x\d+, "):
        taken(Samples(index, None), order_of(index, n=6, batch_size=8))
