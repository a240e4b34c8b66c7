from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3

from unify import storage
from unify.errors import UnifyError


def test_write_file_says_what_it_wrote_and_leaves_nothing_beside_it(tmp_path):
    assert storage.write_file(tmp_path / "a", b"hello") == (5, blake3(b"hello").hexdigest())
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"hello"
    assert storage.hash_file(tmp_path / "a") == (5, blake3(b"hello").hexdigest())


def test_a_file_is_not_there_before_it_is_whole(tmp_path):
    with storage.new_file(tmp_path / "a") as file:
        file.write(b"half")
        assert not (tmp_path / "a").exists()
        file.write(b"whole")
        file.write(bytes(100_000))
        file.commit()
    assert (tmp_path / "a").read_bytes() == b"halfwhole" + bytes(100_000)


def test_a_file_whose_writer_fails_is_thrown_away(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), storage.new_file(tmp_path / "a") as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, "io", 74),
        (errno.EIO, "io", 74),
        (errno.EACCES, "cannot-create", 73),
        (errno.EROFS, "cannot-create", 73),
        (errno.ENOTDIR, "cannot-create", 73),
    ],
)
def test_what_the_system_refuses_has_its_code(tmp_path, monkeypatch, number, kind, code):
    def refuse(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(UnifyError, match=rf"{kind}: .*cannot write: {os.strerror(number)} — ") as e:
        storage.write_file(tmp_path / "a", b"x")
    assert e.value.exit_code == code
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_made(tmp_path):
    """As in `--out /proc/x`, which says of a new folder that it is not there."""
    missing = tmp_path / "missing"
    with pytest.raises(UnifyError, match=r"cannot-create: .*cannot create: No such file or directory — ") as e:
        storage.write_file(missing / "a", b"x")
    assert e.value.exit_code == 73
    with pytest.raises(UnifyError, match=r"io: .*cannot read: No such file or directory — ") as e:
        storage.hash_file(missing)
    assert e.value.exit_code == 74


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_folder_where_none_can_be_made():
    with pytest.raises(UnifyError, match=r"cannot-create: .*cannot create folder: No such file or directory — ") as e:
        storage.make_dirs(Path("/proc/nothing/of/it"))
    assert e.value.exit_code == 73


def test_chunks_of_any_size_arrive_in_order(tmp_path):
    chunks = [bytes([i % 251]) * (1 << k) for i, k in enumerate([3, 20, 10, 23, 17, 5, 24, 24, 24, 16, 2])]
    with storage.new_file(tmp_path / "a") as file:
        for i, chunk in enumerate(chunks):
            file.write(chunk)
            assert file.tell() == sum(map(len, chunks[: i + 1]))
        size, digest = file.commit()
    whole = b"".join(chunks)
    assert (tmp_path / "a").read_bytes() == whole
    assert (size, digest) == (len(whole), blake3(whole).hexdigest())


@pytest.mark.parametrize("nth", [1, 2, 3, 8])
def test_a_chunk_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch, nth):
    calls, write = 0, os.write

    def fail_once(fd, data):
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(os, "write", fail_once)
    with (
        pytest.raises(UnifyError, match=r"io: .*cannot write: No space left"),
        storage.new_file(tmp_path / "a") as file,
    ):
        for _ in range(8):
            file.write(bytes(1 << 22))
        file.commit()
    assert not list(tmp_path.iterdir())


def test_short_writes_are_finished(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:3]))
    assert storage.write_file(tmp_path / "a", b"0123456789")[0] == 10
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_file_that_cannot_take_its_name_leaves_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(UnifyError, match=r"cannot-create: .*a: cannot rename"):
        storage.write_file(tmp_path / "a", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_publish_is_all_or_nothing_and_never_replaces(tmp_path):
    for name in ("tree", "taken"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(UnifyError) as e:
        storage.publish(tmp_path / "tree", tmp_path / "taken")
    assert e.value.exit_code == 75
    assert (tmp_path / "taken" / "file").read_text() == "taken"
    storage.publish(tmp_path / "tree", tmp_path / "free")
    assert (tmp_path / "free" / "file").read_text() == "tree"


def test_a_second_builder_finds_it_busy(tmp_path):
    program = (
        "import sys; from unify import storage\nfrom pathlib import Path\nwith storage.lock(Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with storage.lock(tmp_path):
        second = subprocess.run(command, capture_output=True, text=True)
    assert "busy" in second.stderr
    assert subprocess.run(command, capture_output=True).returncode == 0, "the lock must end with its holder"
