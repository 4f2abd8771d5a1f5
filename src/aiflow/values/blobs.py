"""Large values as files named after the SHA-256 of what is in them.

Knows nothing of what the bytes mean, nor of who still needs them.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aiflow.errors import StoreError
from aiflow.values.hashing import pieces, steady

__all__ = ["BlobWriter", "Blobs"]

_PIECE = 1 << 18
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_IS_HASH = re.compile(r"[0-9a-f]{64}").fullmatch


class BlobWriter:
    """Takes bytes piece by piece; when they are all there, the file is renamed to the place that its hash gives it.

    A context manager: without `commit` nothing is left behind.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._hash = hashlib.sha256()
        self._path = f"{blobs.root}/.new-{os.getpid()}-{secrets.token_hex(8)}"
        self.size = 0
        with _complaint(blobs.root):
            try:
                descriptor = os.open(self._path, _NEW, 0o600)
            except FileNotFoundError:  # the first blob of all
                blobs.root.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(self._path, _NEW, 0o600)
        self._file = open(descriptor, "wb")  # `__exit__` closes it
        self._is_placed = False

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what is in its buffer may not fit the disk
            self._file.close()
        if not self._is_placed:
            with suppress(OSError):  # somebody tidied up
                os.unlink(self._path)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; many of them in pieces that stay in the processor's cache between hashing and writing."""
        whole = memoryview(data).cast("B")
        with _complaint(self._blobs.root):
            for start in range(0, whole.nbytes, _PIECE):
                piece = whole[start : start + _PIECE]
                self._hash.update(piece)
                self._file.write(piece)
        self.size += whole.nbytes
        return whole.nbytes

    def commit(self) -> str:
        """Put the blob in its place and give its hash."""
        digest = self._hash.hexdigest()
        with _complaint(self._blobs.root):
            self._file.flush()
            if self._blobs.sync:
                os.fsync(self._file.fileno())
            self._file.close()
            if not self._blobs.touch(digest, self.size):
                self._blobs.place(self._path, digest)
                self._is_placed = True
        return digest


@contextmanager
def _complaint(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = error.strerror or str(error)
        raise StoreError(f"a value could not be written to {root}: {problem}; make room there and run again") from error


class Blobs:
    """The blobs of one home.

    Any number of processes may write at once: a blob appears whole, by rename, or not at all.

    Parameters
    ----------
    root
        The directory; made (0700) when the first blob is written.
    sync
        Whether a blob must survive the loss of power, too (``durability="full"``).
    """

    def __init__(self, root: Path | str, *, sync: bool = False) -> None:
        self.root, self.sync = Path(root), sync
        self._root = str(self.root)

    def path(self, digest: str) -> Path:
        """Give the place of a blob, whether or not it is there.

        Raises
        ------
        StoreError
            If `digest` is not the text of a SHA-256: no other text ever becomes a path.
        """
        return Path(self._place_of(digest))

    def _place_of(self, digest: str) -> str:
        """Give the same as text, which costs a tenth."""
        if not isinstance(digest, str) or not _IS_HASH(digest):
            raise StoreError(f"{digest!r} is not the hash of a blob (64 digits and letters a to f)")
        return f"{self._root}/{digest[:2]}/{digest[2:4]}/{digest}"

    def exists(self, digest: str) -> bool:
        """Tell whether the blob is there."""
        return self.path(digest).is_file()

    def touch(self, digest: str, size: int) -> bool:
        """Mark a blob as used just now; False if it is not there, or not of this size (a damaged one is replaced)."""
        path = self._place_of(digest)
        try:
            if os.stat(path).st_size != size:
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def uri(self, digest: str) -> str:
        """Say where a blob is kept, seen from the home."""
        self._place_of(digest)
        return f"{self.root.name}/{digest[:2]}/{digest[2:4]}/{digest}"

    def files(self) -> Iterator[tuple[str, int, float]]:
        """Go through all blobs: hash, size, and when each was written or touched last, in seconds since 1970."""
        for path in self.root.glob("??/??/*"):
            if _IS_HASH(path.name):
                with suppress(FileNotFoundError):  # another process sweeps, too
                    stat = path.stat()
                    yield path.name, stat.st_size, stat.st_mtime

    def sweep(self, digest: str, before: float) -> bool:
        """Delete a blob unless it was touched after `before`; tell whether it went.

        It is taken out of its place first: who touches it meanwhile is seen then, and who comes later writes it anew.
        """
        path, aside = self.path(digest), self.root / f".old-{os.getpid()}-{secrets.token_hex(8)}"
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return False
        if aside.stat().st_mtime < before:
            aside.unlink()
            return True
        self.place(aside, digest)
        return False

    def sweep_halves(self, before: float) -> None:
        """Delete what is left of blobs whose writers died long ago."""
        for path in (*self.root.glob(".new-*"), *self.root.glob(".old-*")):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def place(self, path: Path | str, digest: str) -> None:
        """Rename a finished file to the place of its hash."""
        target = self._place_of(digest)
        folder = os.path.dirname(target)
        try:
            os.replace(path, target)
        except FileNotFoundError:  # the first blob of its folder
            for missing in (os.path.dirname(folder), folder):
                with suppress(FileExistsError):
                    os.mkdir(missing, 0o700)
            os.replace(path, target)
        if self.sync:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def writer(self) -> BlobWriter:
        """Open a `BlobWriter` for a new blob.

        Raises
        ------
        StoreError
            If it cannot be written (no room, no permission); its `write` and `commit` say so, too.
        """
        return BlobWriter(self)

    def put_bytes(self, data: bytes | bytearray | memoryview) -> str:
        """Keep these bytes and give their hash; a blob that is there already is only touched.

        Raises
        ------
        StoreError
            If they cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        if self.touch(digest, memoryview(data).nbytes):
            return digest
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    def put_file(self, source: Path | str) -> str:
        """Copy a file into the blobs, in pieces, and give its hash: that of what was written.

        Raises
        ------
        StoreError
            If it cannot be written.
        NotFound, ParameterError, Conflict, OSError
            If `source` is not there, is no file, changes meanwhile, or cannot be read; nothing is kept then.
        """
        with self.writer() as writer:
            with steady(source) as file:
                for piece in pieces(file):
                    writer.write(piece)
            return writer.commit()

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for reading, after its content was checked against its name.

        Raises
        ------
        StoreError
            If it is missing, or is not what was written.
        """
        path = self.path(digest)
        try:
            file = open(path, "rb")  # the caller closes it
        except FileNotFoundError:
            raise StoreError(
                f"the blob {path} is missing: restore {self.root} from a backup, or run the job again that made it"
            ) from None
        except OSError as error:
            raise StoreError(f"the blob {path} cannot be read: {error.strerror}") from error
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            file.close()
            raise StoreError(
                f"the blob {path} is damaged (its content has the hash {found[:12]}…): it was not loaded; restore it "
                "from a backup, or delete it and run the job that made the value again"
            )
        file.seek(0)
        return file
