"""Shards' bytes against pyarrow, and against a reader of Parquet's metadata written from its specification."""

from __future__ import annotations

import io
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unify import thrift
from unify.features import arrow_schema
from unify.parquet import ARROW_OPTIONS, FILTERED, Writer

OPTIONS = ("centroids", "instances", "native")
SCHEMA = arrow_schema(OPTIONS, ["cityscapes", "idd"], ["road", "car"])

cells = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.string(): st.text(),
}


def cell_of(column: pa.Field, first: bool) -> st.SearchStrategy:
    kind = column.type
    if pa.types.is_struct(kind):
        image = st.fixed_dictionaries({"bytes": st.binary(), "path": st.text()})
        return image if first else image | st.none()
    if pa.types.is_list(kind):
        return st.none() | st.lists(cells[kind.value_type], max_size=20)
    return cells[kind]


groups = st.lists(
    st.lists(
        st.fixed_dictionaries({c.name: cell_of(c, c.name == "image") for c in SCHEMA}),
        min_size=1,
        max_size=6,
    ),
    min_size=1,
    max_size=3,
)


def written(groups: list[list[dict]], schema: pa.Schema = SCHEMA) -> bytes:
    sink = io.BytesIO()
    writer = Writer(sink, schema)
    for rows in groups:
        for row in rows:
            writer.image(memoryview(row["image"]["bytes"]))
        writer.row_group([{name: plain(name, cell) for name, cell in row.items()} for row in rows])
    writer.close()
    return sink.getvalue()


def plain(name: str, cell):
    if isinstance(cell, dict):
        return cell["path"] if name == "image" else (cell["bytes"], cell["path"])
    return cell


def as_arrow_writes_it(groups: list[list[dict]]) -> bytes:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, SCHEMA, **ARROW_OPTIONS) as writer:
        for rows in groups:
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA), row_group_size=len(rows))
    return sink.getvalue()


@settings(max_examples=100, deadline=None)
@given(groups)
def test_what_is_read_is_what_was_written(groups):
    file = pq.ParquetFile(io.BytesIO(written(groups)), page_checksum_verification=True)
    assert [file.read_row_group(i).to_pylist() for i in range(file.num_row_groups)] == groups
    assert file.schema_arrow.equals(SCHEMA)


@settings(max_examples=100, deadline=None)
@given(groups)
def test_metadata_says_what_pyarrows_own_writer_says(groups):
    ours, theirs = (pq.ParquetFile(io.BytesIO(make(groups))) for make in (written, as_arrow_writes_it))
    assert ours.schema.equals(theirs.schema)
    assert ours.schema_arrow.equals(theirs.schema_arrow, check_metadata=True)
    assert ours.metadata.metadata == theirs.metadata.metadata
    assert ours.metadata.num_rows == theirs.metadata.num_rows
    for i in range(len(groups)):
        group, other = ours.metadata.row_group(i), theirs.metadata.row_group(i)
        assert group.num_rows == other.num_rows
        assert group.total_byte_size == sum(group.column(k).total_compressed_size for k in range(group.num_columns))
        for k in range(group.num_columns):
            mine, its = group.column(k), other.column(k)
            assert mine.path_in_schema == its.path_in_schema
            for fact in ("physical_type", "num_values", "compression", "has_offset_index", "has_column_index"):
                if fact != "has_column_index" or mine.path_in_schema in FILTERED:
                    assert getattr(mine, fact) == getattr(its, fact), (mine.path_in_schema, fact)
            assert set(mine.encodings) == set(its.encodings)
            assert (mine.statistics is None) == (its.statistics is None)
            if mine.statistics:
                for fact in ("min", "max", "null_count", "num_values"):
                    assert getattr(mine.statistics, fact) == getattr(its.statistics, fact)


# --- A reader of Thrift, written from its specification ----------------------------------------------------


class Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        found = shift = 0
        while True:
            byte = self.byte()
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found

    def value(self, kind: int):
        if kind in (1, 2):
            return kind == 1
        if kind in (4, 5, 6):
            number = self.varint()
            return -(number + 1) // 2 if number % 2 else number // 2
        if kind == 8:
            length = self.varint()
            self.at += length
            return self.data[self.at - length : self.at]
        if kind == 9:
            head = self.byte()
            count = head >> 4 if head >> 4 < 15 else self.varint()
            if head & 15 in (1, 2):
                return [self.byte() == 1 for _ in range(count)]
            return [self.value(head & 15) for _ in range(count)]
        assert kind == 12, kind
        found, number = {}, 0
        while head := self.byte():
            assert head >> 4, "long form of field numbers"
            number += head >> 4
            found[number] = self.value(head & 15)
        return found


def read(value: thrift.Value):
    reader = Reader(value[1], 0)
    found = reader.value(value[0])
    assert reader.at == len(value[1]), "all of it is read"
    return found


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers(number):
    assert read(thrift.i64(number)) == number


@pytest.mark.parametrize(("of", "bits"), [(thrift.i32, 32), (thrift.i64, 64)])
def test_the_ends_of_integers(of, bits):
    for number in (-(1 << bits - 1), -1, 0, 1, (1 << bits - 1) - 1):
        assert read(of(number)) == number
    for number in (-(1 << bits - 1) - 1, 1 << bits - 1):
        with pytest.raises(AssertionError, match="does not fit"):
            of(number)


@pytest.mark.parametrize("count", [1, 14, 15, 16, 200])
def test_lists_and_structs(count):
    values = thrift.many([thrift.struct({1: thrift.i32(-n), 9: thrift.text("ü" * n)}) for n in range(count)])
    assert read(values) == [{1: -n, 9: ("ü" * n).encode()} for n in range(count)]
    flags = thrift.struct({2: thrift.boolean(True), 3: None, 5: thrift.boolean(False), 6: values})
    assert read(flags) == {2: True, 5: False, 6: read(values)}
    assert read(thrift.many([thrift.boolean(n % 3 == 0) for n in range(count)])) == [n % 3 == 0 for n in range(count)]


# --- Pages and their index --------------------------------------------------------------------------------

ROW = {
    "image": {"bytes": b"", "path": "a.png"},
    "label": {"bytes": b"label", "path": "a.png"},
    "source": 1,
    "sample_id": "idd/val/1",
    "height": 2,
    "width": 3,
    "classes": [0, 1],
    "pixel_count": [4, 2, 0],
    "centroid_class": [],
    "centroid_y": [1],
    "centroid_x": [1],
    "instance": None,
    "instance_count": None,
    "label_source": {"bytes": b"raw", "path": "a.png"},
}
GROUPS = [
    [
        {**ROW, "sample_id": f"idd/val/{7 * g - i}", "image": {"bytes": bytes(2000 + i), "path": "i.png"}}
        for i in range(n)
    ]
    for g, n in enumerate((3, 1, 5))
]


def footer_of(data: bytes) -> dict[int, object]:
    return Reader(data, len(data) - 8 - int.from_bytes(data[-8:-4], "little")).value(12)


def test_the_footer_has_the_fields_that_pyarrows_has():
    ours, theirs = footer_of(written(GROUPS)), footer_of(as_arrow_writes_it(GROUPS))
    assert ours[1] == theirs[1], "the version of the format"
    elements = [[{k: v for k, v in e.items() if k != 9} for e in footer[2][1:]] for footer in (ours, theirs)]
    assert elements[0] == elements[1], "types, names and annotations of columns, but for pyarrow's field_id"
    assert ours[7] == theirs[7], "the order of each column's values"


def test_the_index_leads_to_every_page_and_each_has_its_checksum():
    data = written(GROUPS)
    footer = footer_of(data)
    seen = 4
    for rows, group in zip(GROUPS, footer[4], strict=True):
        assert group[5] == seen, "row groups follow each other"
        for chunk in group[1]:
            places = Reader(data, chunk[4]).value(12)[1]
            assert [place[3] for place in places] == (
                [*range(len(rows))] if chunk[3][3] == [b"image", b"bytes"] else [0]
            )
            for place in places:
                assert place[1] == seen, "no byte between pages"
                reader = Reader(data, seen)
                header = reader.value(12)
                body = data[reader.at : reader.at + header[3]]
                assert header[4] % 2**32 == zlib.crc32(body)
                seen = reader.at + header[3]
                assert place[2] == seen - place[1], "sizes count headers"
            assert chunk[3][7] == seen - chunk[3][9]
            if chunk[3][3] == [b"sample_id"]:
                index = Reader(data, chunk[6]).value(12)
                names = sorted(row["sample_id"].encode() for row in rows)
                assert index == {1: [False], 2: [names[0]], 3: [names[-1]], 4: 1, 5: [0]}
    assert len(footer[7]) == len(footer[4][0][1]), "an order for each column"


def test_an_image_is_a_page_and_its_bytes_lie_in_the_file_as_they_are():
    data = written(GROUPS)
    footer = footer_of(data)
    for rows, group in zip(GROUPS, footer[4], strict=True):
        for row, place in zip(rows, Reader(data, group[1][0][4]).value(12)[1], strict=True):
            image = row["image"]["bytes"]
            assert data[: place[1] + place[2]].endswith(len(image).to_bytes(4, "little") + image)


def test_a_flipped_bit_in_any_page_is_found():
    data = written(GROUPS[:1])
    footer = footer_of(data)
    for chunk in footer[4][0][1]:
        place = Reader(data, chunk[4]).value(12)[1][-1]
        damaged = bytearray(data)
        damaged[place[1] + place[2] - 1] ^= 1
        file = pq.ParquetFile(io.BytesIO(damaged), page_checksum_verification=True)
        with pytest.raises(OSError, match="CRC checksum verification failed"):
            file.read()


def test_as_many_rows_as_images():
    writer = Writer(io.BytesIO(), SCHEMA)
    writer.image(b"one")
    with pytest.raises(AssertionError, match="2 rows, but 1 images"):
        writer.row_group([{}, {}])


def test_types_that_versions_do_not_have():
    image = SCHEMA.field("image")
    with pytest.raises(TypeError, match="no column of a version is of type double"):
        Writer(io.BytesIO(), pa.schema([image, pa.field("score", pa.float64())]))
