"""Blobs: large values as files."""

import errno
import hashlib
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from aiflow.errors import StoreError
from aiflow.values.blobs import Blobs

DATA = b"some bytes" * 1000
HASH = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def files(blobs: Blobs) -> list[Path]:
    return [p for p in blobs.root.rglob("*") if p.is_file()]


def test_a_blob_is_named_after_its_content_and_only_its_owner_can_read_it(blobs: Blobs) -> None:
    assert blobs.put_bytes(DATA) == HASH
    path = blobs.root / HASH[:2] / HASH[2:4] / HASH
    assert blobs.path(HASH) == path
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(p.stat().st_mode) for p in (blobs.root, path.parent.parent, path.parent)] == [0o700] * 3
    with blobs.open(HASH) as file:
        assert file.read() == DATA


def test_nothing_is_made_before_the_first_blob(blobs: Blobs) -> None:
    assert not blobs.exists(HASH)
    assert not blobs.root.exists()


def test_a_file_is_copied_in(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(DATA * 300)
    digest = blobs.put_file(source)
    assert blobs.path(digest).read_bytes() == DATA * 300
    assert source.exists()


def test_a_blob_can_be_written_piece_by_piece(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        for _ in range(1000):
            writer.write(b"some bytes")
        assert not blobs.exists(HASH)
        assert writer.commit() == HASH
    assert files(blobs) == [blobs.path(HASH)]


def test_what_is_not_committed_leaves_nothing(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(DATA)
    assert files(blobs) == []


@pytest.mark.parametrize("how", ["bytes", "writer"])
def test_a_blob_that_is_used_again_is_touched_not_written(blobs: Blobs, how: str) -> None:
    blobs.put_bytes(DATA)
    path = blobs.path(HASH)
    os.utime(path, (1000, 1000))
    inode = path.stat().st_ino
    if how == "bytes":
        blobs.put_bytes(DATA)
    else:
        with blobs.writer() as writer:
            writer.write(DATA)
            writer.commit()
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > 1000
    assert files(blobs) == [path]


def test_a_truncated_blob_is_replaced_when_the_value_is_written_again(blobs: Blobs) -> None:
    blobs.put_bytes(DATA)
    blobs.path(HASH).write_bytes(DATA[:-1])
    blobs.put_bytes(DATA)
    assert blobs.path(HASH).read_bytes() == DATA


def test_a_damaged_blob_is_refused_with_what_to_do(blobs: Blobs) -> None:
    blobs.put_bytes(DATA)
    blobs.path(HASH).write_bytes(b"x" + DATA[1:])
    with pytest.raises(StoreError, match=r"is damaged .* restore it from a backup"):
        blobs.open(HASH)


def test_a_missing_blob_is_named_with_what_to_do(blobs: Blobs) -> None:
    with pytest.raises(StoreError, match=rf"{HASH} is missing: restore"):
        blobs.open(HASH)


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "a" * 63 + "/"])
def test_no_other_text_becomes_a_path(blobs: Blobs, text: str) -> None:
    for act in (blobs.path, blobs.exists, blobs.open):
        with pytest.raises(StoreError, match="is not the hash of a blob"):
            act(text)


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer._file.close()
        writer._file = open("/dev/full", "wb", buffering=0)  # the writer closes it
        with pytest.raises(StoreError, match="could not be written") as caught:
            writer.write(b"y")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert files(blobs) == []


def _write_all(root: str, seed: int) -> None:
    blobs = Blobs(root)
    for i in range(40):
        blobs.put_bytes(bytes([(i + seed) % 40]) * 20_000)


def test_many_processes_write_the_same_blobs_at_once(blobs: Blobs) -> None:
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=_write_all, args=(str(blobs.root), seed)) for seed in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(files(blobs)) == 40
    for path in files(blobs):
        blobs.open(path.name).close()
