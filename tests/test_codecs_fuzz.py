"""The label codec against Pillow on valid, damaged and malicious files.

For any bytes: either the pixels are those that Pillow finds in the file's critical chunks, or a
`UnifyError` says why not. Never another exception, never another pixel.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from unify.codecs import check_image, encode_label, image_header, read_label, relabel_png
from unify.errors import UnifyError

from .pngs import SIGNATURE, adam7, chunk, filtered, ihdr, jpeg_with, noise, saved

TABLE = np.random.default_rng(1).integers(0, 256, 256).astype(np.uint8)

LIMIT = 1 << 20  # pixels
FEW = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))


# --- Files ---


@st.composite
def labels(draw) -> np.ndarray:
    """(H, W) uint8: areas, noise, or something between; widths around the block of 64 are frequent."""
    height = draw(st.integers(1, 12))
    width = draw(st.integers(1, 12) | st.integers(60, 70) | st.integers(126, 130) | st.integers(1, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    num_ids = draw(st.sampled_from([1, 2, 3, 20, 256]))
    share = draw(st.sampled_from([0.01, 0.1, 1.0]))  # of pixels that differ from their neighbours
    ids_hw = np.full((height, width), rng.integers(256), np.uint8)
    for _ in range(draw(st.integers(0, 4))):
        top, left = rng.integers(height), rng.integers(width)
        ids_hw[top:, left : left + rng.integers(1, width + 1)] = rng.integers(num_ids)
    speckled = rng.random(ids_hw.shape) < share * draw(st.integers(0, 1))
    ids_hw[speckled] = rng.integers(0, num_ids, speckled.sum())
    return ids_hw


@st.composite
def chunk_lists(draw) -> tuple[list[tuple[bytes, bytes]], np.ndarray]:
    """A valid label PNG as a list of (type, body), and its ids."""
    ids_hw = draw(labels())
    height, width = ids_hw.shape
    if draw(st.integers(0, 9)) == 0:
        return chunks_of(adam7(ids_hw)), ids_hw
    types = draw(st.integers(0, 4) | st.lists(st.integers(0, 4), min_size=height, max_size=height))
    data = zlib.compress(filtered(ids_hw, np.broadcast_to(types, height)).tobytes(), draw(st.integers(0, 9)))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    color = draw(st.sampled_from([0, 3]))
    chunks = [(b"IHDR", ihdr(width, height, color=color)[8:-4])]
    chunks += [(b"PLTE", noise((256, 3)).tobytes()[: 3 * draw(st.integers(1, 256))])] * (color == 3)
    chunks += [(b"IDAT", data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [*chunks, (b"IEND", b"")], ids_hw


def file_of(chunks) -> bytes:
    return SIGNATURE + b"".join(chunk(name, body) for name, body in chunks)


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


@st.composite
def edited_bytes(draw, data: bytes) -> bytes:
    """Some bits flipped, bytes changed, cut out, doubled, or the rest cut off."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(1, 9) | st.integers(1, 400))
        part = data[at : at + length]
        new = draw(
            st.sampled_from([bytes([part[0] ^ 1 << k]) + part[1:] for k in range(8)] if part else [b""])
            | st.binary(min_size=len(part), max_size=len(part))
            | st.sampled_from([b"", part * 2])
        )
        data = data[:at] + new + data[at + length :]
        if draw(st.integers(0, 7)) == 0:
            data = data[: draw(st.integers(0, len(data)))]
    return data


@st.composite
def edited_chunks(draw) -> bytes:
    """A PNG whose checksums are all right, and something else is not."""
    chunks, ids_hw = draw(chunk_lists())
    for _ in range(draw(st.integers(1, 2))):
        i = draw(st.integers(0, len(chunks) - 1))
        name, body = chunks[i]
        edit = draw(st.sampled_from(["body", "header", "pixels", "adler", "swap", "drop", "double", "insert", "name"]))
        if edit == "body":
            chunks[i] = (name, draw(edited_bytes(body)))
        elif edit == "header":
            header = bytearray(chunks[0][1].ljust(13, b"\0"))
            field = draw(st.sampled_from([slice(0, 4), slice(4, 8), *(slice(k, k + 1) for k in range(8, 13))]))
            size = field.stop - field.start
            new = draw(st.integers(0, 40) | st.integers(0, 256**size - 1)) % 256**size
            header[field] = new.to_bytes(size)
            chunks[0] = (chunks[0][0], bytes(header))
        elif edit in ("pixels", "adler"):
            lines = filtered(ids_hw, [draw(st.integers(0, 4))] * len(ids_hw)).tobytes()
            lines = draw(edited_bytes(lines)) if edit == "pixels" else lines
            data = zlib.compress(lines)
            data = data[:-4] + draw(st.binary(min_size=4, max_size=4)) if edit == "adler" else data
            chunks = [c for c in chunks if c[0] not in (b"IDAT", b"IEND")] + [(b"IDAT", data), (b"IEND", b"")]
        elif edit == "swap":
            j = draw(st.integers(0, len(chunks) - 1))
            chunks[i], chunks[j] = chunks[j], chunks[i]
        elif edit == "drop" and len(chunks) > 1:
            del chunks[i]
        elif edit == "double":
            chunks.insert(i, chunks[i])
        elif edit == "name":
            chunks[i] = (
                draw(st.sampled_from([b"IDAT", b"PLTE", b"tRNS", b"IEND", b"abcd", b"ABCD", b"\xff\0a1"])),
                body,
            )
        elif edit == "insert":
            names = [b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"iTXt", b"zTXt", b"iCCP", b"acTL", b"fcTL", b"pHYs", b"gAMA"]
            chunks.insert(i, (draw(st.sampled_from(names)), draw(st.binary(max_size=40))))
        if not chunks:
            break
    return file_of(chunks)


# --- What has to hold ---


def by_pillow(data: bytes) -> np.ndarray:
    """What Pillow finds in the critical chunks; it may raise anything."""
    critical = [c for c in chunks_of(data) if c[0] in (b"IHDR", b"PLTE", b"IDAT")]
    with Image.open(io.BytesIO(file_of([*critical, (b"IEND", b"")]))) as image:
        return np.asarray(image)


def same_or_refused(data: bytes) -> np.ndarray | None:
    try:
        ids_hw = read_label(data, max_pixels=LIMIT)
    except UnifyError as e:
        assert [(p.kind in ("bad-label", "image-too-large"), p.path) for p in e.problems] == [(True, "")]
        ids_hw = None
    else:
        assert np.array_equal(by_pillow(data), ids_hw)
        check_image(data, max_pixels=LIMIT)
    try:
        png, counts = relabel_png(data, TABLE, max_pixels=LIMIT)
    except UnifyError as e:
        assert e.problems[0].kind in ("bad-label", "image-too-large")
        assert ids_hw is None or ids_hw.dtype == np.uint16
        return ids_hw
    assert ids_hw is not None
    assert np.array_equal(by_pillow(png), TABLE[ids_hw])
    assert np.array_equal(counts, np.bincount(ids_hw.ravel(), minlength=256))
    return ids_hw


def valid(made) -> None:
    chunks, ids_hw = made
    data = file_of(chunks)
    assert np.array_equal(same_or_refused(data), ids_hw)
    assert check_image(data) == image_header(data)
    assert relabel_png(data, TABLE)[0] == encode_label(ids_hw, TABLE)[0]


def only_image_problems(data: bytes) -> None:
    for call in (image_header, check_image):
        try:
            header = call(data)
        except UnifyError as e:
            assert [(p.kind in ("bad-image", "image-too-large"), p.path) for p in e.problems] == [(True, "")]
        else:
            assert header.width * header.height <= 100_000_000 and 1 <= header.orientation <= 8


some_png = chunk_lists().map(lambda made: file_of(made[0]))
damaged_pngs = some_png.flatmap(edited_bytes)
JPEGS = [
    jpeg_with(b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    saved(Image.fromarray(noise((24, 24))), "JPEG", progressive=True, restart_marker_blocks=2),
]
damaged_jpegs = st.sampled_from(JPEGS).flatmap(edited_bytes)


@FEW
@given(chunk_lists())
def test_valid_files(made):
    valid(made)


@FEW
@given(damaged_pngs)
def test_damaged_files(data):
    same_or_refused(data)
    only_image_problems(data)


@FEW
@given(edited_chunks())
def test_edited_chunks(data):
    same_or_refused(data)
    only_image_problems(data)


@FEW
@given(damaged_jpegs)
def test_damaged_jpegs(data):
    only_image_problems(data)


@FEW
@given(st.binary(max_size=200) | st.binary(max_size=200).map(SIGNATURE.__add__))
def test_any_bytes(data):
    same_or_refused(data)
    only_image_problems(data)


@pytest.mark.slow
@MANY
@given(chunk_lists())
def test_many_valid_files(made):
    valid(made)


@pytest.mark.slow
@MANY
@given(damaged_pngs)
def test_many_damaged_files(data):
    same_or_refused(data)
    only_image_problems(data)


@pytest.mark.slow
@MANY
@given(edited_chunks())
def test_many_edited_chunks(data):
    same_or_refused(data)
    only_image_problems(data)


@pytest.mark.slow
@MANY
@given(damaged_jpegs)
def test_many_damaged_jpegs(data):
    only_image_problems(data)


def test_these_tests_do_reach_pixels_and_refusals():
    """Guards the guards: Pillow is strict here, and a wrong pixel or a short file would be seen."""
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    data = file_of(chunks_of(adam7(noise((9, 9)))))
    assert same_or_refused(data) is not None
    assert same_or_refused(data[:-5]) is None
