"""A sample that is killed: the same command takes it over, another one refuses or replaces it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from unify import storage
from unify.errors import UnifyError
from unify.sample import render_scene, write, write_streets
from unify.sources import SOURCES, detect

from .worlds import tree_bytes

ARGUMENTS = {"datasets": "KN", "images": 2, "seed": 1, "size": 0.05}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    folder = tmp_path_factory.mktemp("whole")
    write_streets(folder, **ARGUMENTS)
    return tree_bytes(folder)


def killed(folder: Path, *, operation: int | None = None, files: int | None = None, **changes) -> bool:
    """Run in a forked child that dies at the n-th operation on truth.json, or before the n-th lot of files."""
    pid = os.fork()
    if pid == 0:
        try:
            count = {"operation": 0, "files": 0}

            def watch(what: str, limit: int | None, real):
                def call(*args):
                    count[what] += 1
                    if count[what] == limit:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*args)

                return call

            storage._do = watch("operation", operation, storage._do)
            write.write_files = watch("files", files, write.write_files)
            write_streets(folder, **{**ARGUMENTS, **changes})
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("files", [1, 2, 4, 6, 7])
def test_the_same_command_takes_it_over(tmp_path, whole, files):
    assert killed(tmp_path, files=files)
    left = json.loads((tmp_path / "truth.json").read_text())
    assert left["unfinished"] is True and left["seed"] == 1
    write_streets(tmp_path, **ARGUMENTS)
    assert tree_bytes(tmp_path) == whole


def test_killed_while_it_writes_the_mark(tmp_path):
    """At every operation on truth.json in turn: nothing of ours is in the way of the next run."""
    write_streets(tmp_path / "whole", **{**ARGUMENTS, "datasets": "X", "images": 1})
    operation = 1
    while killed(tmp_path / str(operation), operation=operation, datasets="X", images=1):
        write_streets(tmp_path / str(operation), **{**ARGUMENTS, "datasets": "X", "images": 1})
        assert tree_bytes(tmp_path / str(operation)) == tree_bytes(tmp_path / "whole"), operation
        operation += 1
    assert operation > 10


def test_half_a_file_is_written_again(tmp_path, whole):
    assert killed(tmp_path, files=4)
    path = next(tmp_path.glob("kitti/training/semantic/*.png"))
    path.write_bytes(path.read_bytes()[:100])
    write_streets(tmp_path, **ARGUMENTS)
    assert tree_bytes(tmp_path) == whole


def test_another_command_refuses_and_force_replaces(tmp_path, whole):
    assert killed(tmp_path, files=2, seed=2, datasets="XN")
    before = tree_bytes(tmp_path)
    with pytest.raises(UnifyError, match=r"holds another sample, which was interrupted — .*--force") as caught:
        write_streets(tmp_path, **ARGUMENTS)
    assert caught.value.exit_code == 73 and tree_bytes(tmp_path) == before
    write_streets(tmp_path, **ARGUMENTS, force=True)
    assert tree_bytes(tmp_path) == whole


def test_killed_while_it_replaces(tmp_path, whole):
    """With --force, too: the folder is a sample of ours at any moment, and never said to be finished."""
    write_streets(tmp_path, "X", 1, 0, size=0.05)
    for operation in (1, 4, 7, 9, 12):
        assert killed(tmp_path, operation=operation, force=True)
        told = json.loads((tmp_path / "truth.json").read_text())
        assert told.get("unfinished") or (tmp_path / "context").is_dir()
    write_streets(tmp_path, **ARGUMENTS, force=True)
    assert tree_bytes(tmp_path) == whole


def test_an_unfinished_root_is_known_as_generated(tmp_path):
    assert killed(tmp_path, files=3, datasets="N")
    found = detect(SOURCES["nyu"], tmp_path / "nyu")
    assert found is not None and found.generated


def test_killed_by_the_shell(tmp_path, whole):
    """The command itself, ended from outside at some moment."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "unify", "sample", str(tmp_path / "s"), "--datasets", "K,N"]
    command += ["--images", "2", "--seed", "1", "--scale", "0.05", "-j", "2"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list((tmp_path / "s").glob("kitti/training/image_2/*")) and child.poll() is None:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert tree_bytes(tmp_path / "s") == whole


#: sha256 of three scenes each, pixels and concepts, as world version 1 draws them.
WORLD_1 = {
    "cityscapes": "1579c8463f0bb57a",
    "idd": "6c28b18fefeccbae",
    "bdd100k": "aabe603efd71bbd6",
    "mapillary": "428618ef9f2a8d60",
    "camvid": "8a4fea2e7224caba",
}


@pytest.mark.parametrize("source", WORLD_1)
def test_the_world_is_what_it_was(source):
    """Whoever changes these pictures raises WORLD_VERSION."""
    digest = hashlib.sha256()
    for index in range(3):
        image, concepts = render_scene(source, seed=3, index=index, width=160)
        digest.update(image.tobytes())
        digest.update(concepts.tobytes())
    assert (write.WORLD_VERSION, digest.hexdigest()[:16]) == (1, WORLD_1[source])
