"""What is in a file or a folder, as one hash: read once, in bounded memory, and refused if it changes meanwhile.

Knows nothing of blobs, nor of what the bytes mean.

The hash of a file is the SHA-256 of its bytes, which is also the name of its blob. The hash of a folder is that of the names
and hashes of all files below it, sorted folder by folder:

- names are relative to the folder, so it may be moved; times, owners and permissions do not count, nor do empty folders;
- hidden files count as any others: what a program reads from a folder may well begin with a dot;
- a symbolic link counts as a link, by the text that it holds; one that leads out of the folder is refused, for what it
  leads to could change while the hash stays. If the folder itself is named by a link, that is followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from aiflow.errors import Conflict, NotFound, ParameterError
from aiflow.graph.naming import is_inside

__all__ = ["Content", "Part", "content_of", "hash_of", "path_within", "pieces", "steady", "unchanged"]

_CHUNK = 1 << 18  # so few bytes are still in the processor's cache when they are hashed, and when they are written
_FOLDER = b"aiflow folder 1\0"  # stands first, so that no file has the hash of a folder
_CAREFUL = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)  # opening a pipe must not wait for its other end


class Content(NamedTuple):
    """What is in a file or a folder.

    Attributes
    ----------
    kind
        ``"file"`` or ``"folder"``.
    hash
        The SHA-256, as 64 hexadecimal digits.
    size
        Bytes; of a folder, of all files below it together.
    files
        How many files and links; 1 for a file.
    """

    kind: Literal["file", "folder"]
    hash: str
    size: int
    files: int


class Part(NamedTuple):
    """A file or link in a folder.

    Attributes
    ----------
    name
        Relative to the folder, with ``/``.
    hash, size
        Of its bytes; of a link, of the text that it holds, and 0.
    target
        What a link holds; None for a file.
    """

    name: str
    hash: str
    size: int
    target: str | None = None


def hash_of(path: Path) -> tuple[str, int]:
    """Give hash and size of a file; raises what `steady` raises."""
    with steady(path) as file:
        digest, size = hashlib.sha256(), 0
        for piece in pieces(file):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def content_of(
    path: Path | str, take: Callable[[Path], tuple[str, int]] = hash_of, parts: list[Part] | None = None
) -> Content:
    """Hash a file, or a folder with all that is below it.

    Parameters
    ----------
    path
        The file or folder.
    take
        Takes in each file, and gives its hash and size; whoever copies files does it here.
    parts
        Takes what is in a folder.

    Raises
    ------
    NotFound
        If nothing is there.
    ParameterError
        If it is, or holds, something else than files and folders, or a link that leads out of the folder.
    Conflict
        If it changed while it was read.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("x,y")
    ...     print(content_of(Path(folder, "a.csv")))
    ...     print(content_of(folder).size, content_of(folder).files)
    Content(kind='file', hash='...', size=3, files=1)
    3 1
    """
    path = Path(path)
    if not path.is_dir():
        return Content("file", *take(path), 1)
    whole, stamps, total, files = hashlib.sha256(_FOLDER), hashlib.sha256(), 0, 0
    root = path.resolve()
    try:
        for name, status in _walk(root, stamps):
            part = _link(root, name) if stat.S_ISLNK(status.st_mode) else Part(name, *take(root / name))
            kind = b"F" if part.target is None else b"L"
            whole.update(b"%b%b\0%b" % (kind, os.fsencode(name), bytes.fromhex(part.hash)))
            total, files = total + part.size, files + 1
            if parts is not None:
                parts.append(part)
        again = hashlib.sha256()
        for _ in _walk(root, again):
            pass
    except (FileNotFoundError, NotADirectoryError, NotFound) as error:  # it was there when its folder was listed
        raise _changed(path) from error
    if again.digest() != stamps.digest():
        raise _changed(path)
    return Content("folder", whole.hexdigest(), total, files)


def _walk(root: Path, stamps: Any) -> Iterator[tuple[str, os.stat_result]]:
    """Go through all that is below a folder and is none, in order; `stamps` takes in what changes when anything changes."""
    todo = [""]
    while todo:
        name = todo.pop()
        status = os.lstat(root / name)
        stamps.update(f"{name}\0{_stamp(status)}\0".encode("utf-8", "surrogateescape"))
        if stat.S_ISDIR(status.st_mode):
            below = [f"{name}/{found}" if name else found for found in os.listdir(root / name)]
            todo += sorted(below, key=os.fsencode, reverse=True)
        else:
            yield name, status


def _link(root: Path, name: str) -> Part:
    target = os.readlink(root / name)
    if os.path.isabs(target) or not Path(os.path.realpath(root / name)).is_relative_to(root):
        raise ParameterError(
            f"the link {root / name} leads out of its folder, to {target!r}: what is there may change without being "
            "noticed; put the file itself in its place (cp -rL copies a folder so)"
        )
    return Part(name, hashlib.sha256(os.fsencode(target)).hexdigest(), 0, target)


def pieces(file: BinaryIO) -> Iterator[memoryview]:
    """Read a file to its end; each piece is valid until the next one is asked for.

    One that grows while it is read is left when there is more than there was: it might never end.
    """
    buffer = memoryview(bytearray(_CHUNK))
    expected, total = os.fstat(file.fileno()).st_size, 0  # 0 also where nobody knows, as in /proc
    while size := file.readinto(buffer):  # type: ignore[attr-defined]  # binary files have it
        yield buffer[:size]
        total += size
        if total > expected > 0:
            return


@contextmanager
def steady(path: Path | str) -> Iterator[BinaryIO]:
    """Open a file for reading that must not change until the end of the `with` block.

    Raises
    ------
    NotFound
        If there is no such file.
    ParameterError
        If it is no file: a folder, a pipe, a device.
    Conflict
        At the end of the block, if it was written to meanwhile. (A file that was replaced by another is read as it was.)
    OSError
        If it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ParameterError(f"{str(path)!r} is no file: a folder, a pipe or a device cannot be read as one")
        file = open(path, "rb", buffering=0, opener=_open_carefully)
    except FileNotFoundError:
        raise NotFound("file", str(path)) from None
    with file:
        before = _stamp(os.fstat(file.fileno()))
        yield file
        if _stamp(os.fstat(file.fileno())) != before:
            raise _changed(path)


@contextmanager
def unchanged(path: Path | str) -> Iterator[None]:
    """Do several things with a file or folder that must be the same for all of them.

    Raises
    ------
    NotFound
        If nothing is there.
    Conflict
        At the end of the block, if it was written to, or replaced, meanwhile.
    """
    before = _stamps(path)
    yield
    try:
        is_same = _stamps(path) == before
    except NotFound:
        is_same = False
    if not is_same:
        raise _changed(path)


def _stamps(path: Path | str) -> bytes:
    """Give what changes when anything changes in a file or folder."""
    stamps = hashlib.sha256()
    try:
        for _ in _walk(Path(path).resolve(strict=True), stamps):
            pass
    except FileNotFoundError:
        raise NotFound("file or folder", str(path)) from None
    return stamps.digest()


def _open_carefully(path: str, flags: int) -> int:
    return os.open(path, flags | _CAREFUL)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size if not stat.S_ISDIR(status.st_mode) else 0, status.st_ino


def _changed(path: Path | str) -> Conflict:
    return Conflict(f"{str(path)!r} changed while it was read: try again when its writer has finished")


def path_within(folder: Path | str, name: str) -> Path:
    r"""Give the place of a file in a folder by its relative name, and refuse every name that leads out of it.

    Parameters
    ----------
    folder
        The folder.
    name
        Parts with ``/`` between them, such as ``"plots/roc.svg"``; nothing needs to be there.

    Raises
    ------
    ParameterError
        If the name is empty, absolute, has ``..``, ``\``, a drive or a NUL in it, or one of these percent-encoded; or
        if a symbolic link on the way leads out.

    Examples
    --------
    >>> path_within("/srv/out", "plots/roc.svg")
    PosixPath('/srv/out/plots/roc.svg')
    >>> path_within("/srv/out", "../secrets")
    Traceback (most recent call last):
        ...
    aiflow.errors.ParameterError: '../secrets' does not name a file in /srv/out: give parts with / between them...
    """
    root = Path(folder).resolve()
    if not isinstance(name, str) or not is_inside(name):
        raise ParameterError(
            f"{name!r} does not name a file in {folder}: give parts with / between them, relative to that folder and "
            "without '..'"
        )
    path = Path(os.path.realpath(root / name))
    if not path.is_relative_to(root):
        raise ParameterError(f"{name!r} leads out of {folder} over a symbolic link, to {path}")
    return path
