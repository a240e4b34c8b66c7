"""Label files to ids, each release in its own format, against Pillow and dictionaries; and the wrong files."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from unify.errors import UnifyError
from unify.sources import decode_label
from unify.sources.colors import color_table
from unify.spaces import load_space

from .raw import CAMVID, only, release, write_all


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("raw"))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_every_layout_decodes_to_the_ids_that_were_written(world):
    for folder in ("cityscapes", "bdd100k", "old", "vistas", "vistas 1", "camvid"):
        found = only(world / folder)
        for name in found.offers:
            r = release(found.source, name)
            for pair in r.find(found.root, "train").pairs:
                data = (found.root / pair.label).read_bytes()
                ids_hw = decode_label(r, data)
                assert ids_hw.dtype == np.uint8 and ids_hw.shape == (32, 64)
                assert np.array_equal(ids_hw, np.asarray(Image.open(io.BytesIO(data)))), "Pillow, unconverted"
                assert set(np.unique(ids_hw).tolist()) <= load_space(r.space).ids


def test_license_plates_wrap_to_255():
    ids_hw = np.array([[255, 33]], np.uint8)
    assert decode_label(release("cityscapes", "fine"), png(Image.fromarray(ids_hw))).tolist() == [[255, 33]]
    assert load_space("cityscapes").ids >= {255, 33}


GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize(
    ("source", "name", "image", "message"),
    [
        ("cityscapes", "fine", Image.fromarray(GRAY).convert("RGB"),
         "bad-label: RGB colours where gray ids are due — use *_gtFine_labelIds.png"),
        ("cityscapes", "fine", Image.fromarray(GRAY).convert("RGBA"), "bad-label: RGBA colours where gray ids are due"),
        ("cityscapes", "fine", Image.fromarray(GRAY).convert("P"), "bad-label: a palette where gray ids are due"),
        ("cityscapes", "fine", Image.fromarray(GRAY.astype(np.uint16) * 1000),
         "bad-label: 16 bits a value, not 8, as instance maps have — use *_gtFine_labelIds.png"),
        ("cityscapes", "fine", Image.fromarray(GRAY > 5), "bad-label: 1 bits a value, not 8"),
        ("bdd100k", "sem_seg", Image.fromarray(GRAY).convert("RGB"),
         r"use labels/sem_seg/masks/\*.png \(not colormaps, not panoptic bitmasks\)"),
        ("bdd100k", "sem_seg", Image.fromarray(GRAY).convert("RGBA"), "bad-label: RGBA colours where gray ids are due"),
        ("mapillary", "v1.2", Image.fromarray(GRAY).convert("RGB"),
         r"bad-label: RGB colours where ids are due — use the palette PNGs of v1.2, labels/\*.png \(not instances"),
        ("mapillary", "v1.2", Image.fromarray(GRAY.astype(np.uint16) * 256), "bad-label: 16 bits a value, not 8"),
        ("camvid", "original", Image.fromarray(GRAY), "bad-label: gray values where RGB colours are due"),
    ],
)  # fmt: skip
def test_labels_of_the_wrong_kind(source, name, image, message):
    with pytest.raises(UnifyError, match=message.replace("*_", r"\*_")) as e:
        decode_label(release(source, name), png(image))
    assert e.value.exit_code == 65


def test_a_jpeg_is_no_label():
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, "JPEG")
    with pytest.raises(UnifyError, match="bad-label: a JPEG file, which keeps no exact ids"):
        decode_label(release("cityscapes", "fine"), buffer.getvalue())


@pytest.mark.parametrize(
    ("source", "name", "mode"),
    [("cityscapes", "fine", "L"), ("mapillary", "v1.2", "P"), ("camvid", "original", "RGB")],
)
def test_damaged_labels_are_bad_labels(source, name, mode):
    whole = png(Image.new(mode, (64, 64)))
    flipped = bytearray(whole)
    flipped[whole.index(b"IDAT") + 10] ^= 1
    for damaged in (b"", b"text", whole[:20], whole[:-4], bytes(flipped)):
        with pytest.raises(UnifyError) as e:
            decode_label(release(source, name), damaged)
        assert [p.kind for p in e.value.problems] == ["bad-label"] and e.value.problems[0].fix


@pytest.mark.parametrize("stream", [b"no zlib", zlib.compress(b"\0" * 50), zlib.compress(b"\7" * (3 * 64 + 1) * 64)])
@pytest.mark.parametrize("name", ["original", "segnet"])
def test_a_stream_of_other_content_than_the_header_says(name, stream):
    """All checksums are right; what is inside is not: no zlib, too little, filter types that are none."""
    whole = png(Image.new({"original": "RGB", "segnet": "L"}[name], (64, 64)))
    chunks = [b"IHDR" + whole[16:29], b"IDAT" + stream, b"IEND"]
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    with pytest.raises(UnifyError, match="bad-label: damaged: "):
        decode_label(release("camvid", name), b"".join([whole[:8], *parts]))


def test_mapillary_labels_may_be_gray_or_palette_and_give_indices():
    r = release("mapillary", "v1.2")
    palette = Image.fromarray(GRAY).convert("P")
    palette.putpalette(load_space(r.space).palette().tobytes())
    assert np.array_equal(decode_label(r, png(palette)), GRAY)
    assert np.array_equal(decode_label(r, png(Image.fromarray(GRAY))), GRAY)


def test_colours_decode_to_the_ids_they_stand_for(world):
    r = release("camvid", "original")
    colors = {c.color: c.id for c in load_space("camvid-32").classes}
    for path in sorted((world / "camvid 701/LabeledApproved_full").iterdir()):
        rgb = Image.open(path).convert("RGB")
        naive = [[colors[rgb.getpixel((x, y))] for x in range(rgb.width)] for y in range(rgb.height)]
        assert decode_label(r, path.read_bytes()).tolist() == naive


def test_unknown_colours_are_counted():
    image = Image.new("RGB", (10, 10), (128, 64, 128))
    for i in range(7):
        image.putpixel((i, 0), (i, 1, 1))
        image.putpixel((9, i), (1, 2, 3))
    with pytest.raises(UnifyError) as e:
        decode_label(release("camvid", "original"), png(image))
    assert e.value.problems[0].what == (
        "colours that camvid-32 does not have: (1, 2, 3) (7 pixels), (0, 1, 1) (1 pixels), (1, 1, 1) (1 pixels), "
        "(2, 1, 1) (1 pixels), (3, 1, 1) (1 pixels) and 3 more"
    )


def test_the_colour_table_equals_a_dictionary():
    table = color_table("camvid-32")
    expected = {r << 16 | g << 8 | b: c.id for c in load_space("camvid-32").classes for r, g, b in [c.color]}
    assert table.shape == (1 << 24,)
    assert {int(i): int(table[i]) for i in np.flatnonzero(table != 255)} == expected


def test_damaged_colour_labels_give_unify_errors_only():
    rng = np.random.default_rng(0)
    space = load_space("camvid-32")
    whole = png(Image.fromarray(space.palette()[rng.integers(0, 32, (20, 20))]))
    for _ in range(300):
        damaged = bytearray(whole[: rng.integers(0, len(whole) + 1)])
        for _ in range(rng.integers(0, 4) if damaged else 0):
            damaged[rng.integers(0, len(damaged))] = rng.integers(0, 256)
        try:
            decode_label(release("camvid", "original"), bytes(damaged), max_pixels=10_000)
        except UnifyError as e:
            assert {p.kind for p in e.problems} <= {"bad-label", "image-too-large"}


def test_an_image_bomb_is_refused_by_its_header():
    data = bytearray(png(Image.fromarray(GRAY)))
    data[16:24] = (30000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    for source, name in (("cityscapes", "fine"), ("mapillary", "v2.0"), ("camvid", "original")):
        with pytest.raises(UnifyError, match="image-too-large") as e:
            decode_label(release(source, name), bytes(data))
        assert e.value.exit_code == 65


@pytest.mark.skipif(not CAMVID.is_dir(), reason=f"no CamVid in {CAMVID}")
def test_real_camvid_labels():
    r = release("camvid", "segnet")
    for pair in r.find(CAMVID, "val").pairs[::10]:
        data = (CAMVID / pair.label).read_bytes()
        assert np.array_equal(decode_label(r, data), np.asarray(Image.open(io.BytesIO(data))))
