"""Hashes of files and folders: what counts, what is refused, and what happens when something changes meanwhile."""

import hashlib
import os
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import examples

from aiflow.errors import Conflict, NotFound, ParameterError
from aiflow.values.blobs import Blobs
from aiflow.values.hashing import content_of, path_within, pieces, steady, unchanged


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a little of everything that counts."""
    folder = tmp_path / "folder"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"a")
    (folder / "sub" / "b.bin").write_bytes(b"bb")
    (folder / "sub" / "deep" / ".hidden").write_bytes(b"ccc")
    return folder


def test_the_hash_of_a_file_is_the_sha256_of_its_bytes_and_the_name_of_its_blob(tmp_path: Path) -> None:
    file, blobs = tmp_path / "file", Blobs(tmp_path / "blobs")
    file.write_bytes(b"some bytes" * 100_000)
    digest = hashlib.sha256(b"some bytes" * 100_000).hexdigest()
    assert content_of(file) == ("file", digest, 1_000_000, 1)
    assert blobs.put_file(file) == digest
    (tmp_path / "link").symlink_to(file)
    assert content_of(tmp_path / "link").hash == digest


def test_a_folder_has_the_size_and_number_of_all_files_below_it(folder: Path) -> None:
    content = content_of(folder)
    assert (content.kind, content.size, content.files) == ("folder", 6, 3)


def test_a_folder_that_is_moved_copied_or_touched_keeps_its_hash(folder: Path, tmp_path: Path) -> None:
    before = content_of(folder)
    folder.rename(tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    os.utime(tmp_path / "moved" / "a.txt", (1000, 1000))
    (tmp_path / "moved" / "a.txt").chmod(0o755)
    (tmp_path / "moved" / "empty").mkdir()
    assert content_of(tmp_path / "link") == before


def test_every_change_of_a_name_or_a_byte_changes_the_hash_of_a_folder(folder: Path) -> None:
    seen = {content_of(folder).hash}

    def changed() -> bool:
        found = content_of(folder).hash
        is_new = found not in seen
        seen.add(found)
        return is_new

    (folder / "a.txt").write_bytes(b"A")
    assert changed()
    (folder / "a.txt").rename(folder / "A.txt")
    assert changed()
    (folder / "sub" / "deep" / ".hidden").write_bytes(b"ccd")
    assert changed()
    (folder / "sub" / "deep" / ".hidden").rename(folder / "sub" / ".hidden")
    assert changed()
    (folder / ".more").write_bytes(b"")
    assert changed()
    (folder / ".more").unlink()
    (folder / ".more").symlink_to("A.txt")
    assert changed()


@given(st.dictionaries(st.text("ab/", min_size=1, max_size=4), st.binary(max_size=3), max_size=4), st.data())
@examples(40)
def test_two_folders_have_one_hash_only_if_they_hold_the_same(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], data: st.DataObject
) -> None:
    def made(files: dict[str, bytes]) -> tuple[str, dict[str, bytes]]:
        root, kept = tmp_path_factory.mktemp("folder"), {}
        for name, content in files.items():
            path = root / name.strip("/").replace("//", "/")
            if path == root or path.exists() or any(p.is_file() for p in path.parents):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            kept[str(path.relative_to(root))] = content
        return content_of(root).hash, kept

    other = data.draw(st.dictionaries(st.sampled_from([*files, "a", "b/a"]), st.binary(max_size=3), max_size=4))
    (one, first), (two, second) = made(files), made(other)
    assert (one == two) == (first == second)


def test_a_link_that_leads_out_of_its_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    link = folder / "sub" / "link"
    for target in ("../../outside", str(tmp_path / "outside"), str(folder / "a.txt"), "../.."):
        link.symlink_to(target)
        with pytest.raises(ParameterError, match=r"the link .*/sub/link leads out of its folder"):
            content_of(folder)
        link.unlink()
    (folder / "sub" / "up").symlink_to("..")
    link.symlink_to("up/../outside")  # looks as if it stayed inside
    with pytest.raises(ParameterError, match="leads out"):
        content_of(folder)


def test_a_link_that_goes_round_in_its_folder_is_a_link_as_any_other(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to("..")
    (folder / "self").symlink_to("self")
    assert content_of(folder).files == 5


def test_what_is_no_file_is_refused_at_once(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    for act in (content_of, Blobs(tmp_path / "blobs").put_file):
        with pytest.raises(ParameterError, match="pipe' is no file"):
            act(folder / "pipe")
    with pytest.raises(ParameterError, match="pipe' is no file"):
        content_of(folder)
    with pytest.raises(ParameterError, match="folder' is no file"):
        Blobs(tmp_path / "blobs").put_file(folder)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file '.*/missing'"):
        content_of(tmp_path / "missing")
    with pytest.raises(NotFound, match=r"no file '.*/missing'"):
        Blobs(tmp_path / "blobs").put_file(tmp_path / "missing")


@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_a_file_that_is_written_to_while_it_is_read_is_a_conflict(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1_000_000)
    os.utime(file, (1000, 1000))

    def read() -> None:
        with steady(file) as reading:
            next(pieces(reading))
            with open(file, mode) as writing:  # longer than before, or of the same length
                writing.write(b"more")

    with pytest.raises(Conflict, match=r"file' changed while it was read: try again"):
        read()


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1_000_000)
    with steady(file) as reading:
        (tmp_path / "other").write_bytes(b"y")
        (tmp_path / "other").replace(file)
        assert sum(len(piece) for piece in pieces(reading)) == 1_000_000


def test_a_file_that_grows_while_it_is_stored_leaves_nothing(tmp_path: Path) -> None:
    """A writer that does not stop: whenever it is looked at, it has changed."""
    file, blobs, stop = tmp_path / "file", Blobs(tmp_path / "blobs"), threading.Event()
    file.write_bytes(b"x" * 30_000_000)

    def write() -> None:
        with open(file, "r+b", buffering=0) as writing:
            while not stop.is_set():
                writing.seek(0)
                writing.write(b"y" * 1000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for act in (content_of, blobs.put_file):
            with pytest.raises(Conflict, match="changed while"):
                act(file)
    finally:
        stop.set()
        writer.join()
    assert not [p for p in blobs.root.rglob("*") if p.is_file()]


def test_a_folder_in_which_something_changes_while_it_is_read_is_a_conflict(folder: Path) -> None:
    stop = threading.Event()
    (folder / "z.bin").write_bytes(b"x" * 30_000_000)

    def write() -> None:
        while not stop.is_set():
            (folder / "a.txt").write_bytes(b"b")  # read long before the end
            (folder / "a.txt").unlink()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(Conflict, match="folder' changed while"):
            content_of(folder)
    finally:
        stop.set()
        writer.join()


def test_hashing_and_storing_take_little_memory_whatever_the_size(tmp_path: Path) -> None:
    file, blobs = tmp_path / "file", Blobs(tmp_path / "blobs")
    with open(file, "wb") as writing:
        writing.truncate(50_000_000)
    tracemalloc.start()
    try:
        content_of(file)
        blobs.put_file(file)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


# --- names ------------------------------------------------------------------------------------------------------------

OUTSIDE = [
    "", "/", ".", "..", "/etc/passwd", "../x", "a/../../x", "a/..", "a//b", "a/", "./a", "..\\x", "C:\\x", "C:x", "a\0b",
    "%2e%2e/x", "..%2Fx", "%252e%252e%252fx", "a%5Cb", "a%00",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_may_lead_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="does not name a file in"):
        path_within(tmp_path, name)


@given(st.lists(st.sampled_from(["..", ".", "a", "", "%2e", "\\", "C:", "é", "~"]), min_size=1, max_size=5))
@examples(60)
def test_no_name_leads_out_of_its_folder(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        path = path_within(folder, "/".join(parts))
    except ParameterError:
        return
    assert path.is_relative_to(folder.resolve())
    assert path != folder.resolve()


def test_ordinary_names_are_places_in_the_folder(tmp_path: Path) -> None:
    for name in ("a", "a/b.svg", "..a/b..", ".hidden", "50% of it", "naïve/ü"):
        assert path_within(tmp_path, name) == tmp_path.resolve() / name


def test_a_name_that_leads_out_over_a_link_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "file").symlink_to("/etc/passwd")
    for name in ("out", "out/x", "file"):
        with pytest.raises(ParameterError, match="over a symbolic link"):
            path_within(folder, name)


def test_what_changes_between_two_readings_of_it_is_refused(folder: Path, tmp_path: Path) -> None:
    deeds = [
        lambda: (folder / "a.txt").write_bytes(b"longer"),
        lambda: os.utime(folder / "a.txt", ns=(1, 1)),
        lambda: (folder / "new").touch(),
        lambda: (folder / "new").rename(folder / "newer"),
        lambda: (folder / "newer").unlink(),
        lambda: folder.rename(tmp_path / "gone"),
    ]
    for deed in deeds:
        with pytest.raises(Conflict, match="changed while it was read"), unchanged(folder):
            deed()
    with pytest.raises(NotFound, match="no file or folder"), unchanged(folder):
        pass


def test_a_file_that_is_replaced_between_two_readings_of_it_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
        os.utime(tmp_path / name, ns=(1, 1))
    with unchanged(tmp_path / "a"):
        (tmp_path / "a").read_bytes()
    with pytest.raises(Conflict), unchanged(tmp_path / "a"):
        os.replace(tmp_path / "b", tmp_path / "a")


def test_a_file_that_grows_as_fast_as_it_is_read_is_left_and_refused(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"0" * 1_000_000)

    def read_and_write() -> None:
        with steady(file) as reading:
            for piece in pieces(reading):
                with open(file, "ab") as writing:
                    writing.write(bytes(piece))

    with pytest.raises(Conflict, match="changed while it was read"):
        read_and_write()
    assert file.stat().st_size < 5_000_000
