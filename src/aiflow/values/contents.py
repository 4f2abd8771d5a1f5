"""What is in versions of datasets and artifacts: recorded as a change that the ledger takes, and read again.

Knows nothing of tables and turns. A dataset's content stays where it is, and is checked when it is read; an artifact's
content is copied into the blobs of the home. Of a folder each file is a blob, and so is the manifest that lists them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from aiflow.errors import Conflict, NotFound, ParameterError, StoreError
from aiflow.graph.artifact import ArtifactVersion
from aiflow.graph.change import Change
from aiflow.graph.dataset import DatasetVersion
from aiflow.graph.naming import is_inside
from aiflow.graph.place import local_path
from aiflow.values.blobs import Blobs
from aiflow.values.data import Described, describe, read
from aiflow.values.hashing import Part, content_of, path_within

__all__ = [
    "artifact_change", "blobs_in", "dataset_change", "files_of", "open_artifact", "read_dataset", "save_artifact"
]  # fmt: skip


def dataset_change(
    name: str,
    uri: str | None,
    folder: str | None = None,
    format: str | None = None,
    schema: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
    latest: DatasetVersion | None = None,
    found: bool = False,
    at: Path | None = None,
) -> Change:
    """Look at what is in a dataset now, and give the change that records it as a version.

    Parameters
    ----------
    name, uri, folder, format, schema
        As the dataset is registered.
    told
        `hash` and `size` of what is elsewhere, as far as the caller knows them.
    latest
        The latest version, if the caller has it: what has not changed since is hashed, and not looked into again.
    found
        Whether it is recorded as what was found there, to be worked on; else as what was made.
    at
        Where to look, if what will be there is still elsewhere.

    Raises
    ------
    ParameterError
        If it has no uri, does not fit the schema, or if hash and size are told of a file, which tells them itself.
    NotFound, Conflict, OSError
        What `describe` raises.
    """
    said = {key: value for key, value in (told or {}).items() if value is not None}
    if uri is None:
        raise ParameterError(
            f"dataset {name!r} has no uri, so nobody knows where it is: project.datasets.update({name!r}, uri=…)"
        )
    path = local_path(uri, folder)
    if path is None:
        _check_told(name, said)
        return _dataset_change(name, found, uri=uri, format=format, schema=schema, **said)
    if said:
        raise ParameterError(f"dataset {name!r} is at {path}, which tells {' and '.join(said)} itself: leave them out")
    known = None
    if latest is not None and latest.hash is not None and latest.format == format:
        known = Described(
            latest.hash, latest.size or 0, latest.rows, None if latest.schema is None else dict(latest.schema)
        )
    described = describe(path if at is None else at, format, schema, known)
    return _dataset_change(name, found, uri=os.path.abspath(path), format=format, **described._asdict())


def _dataset_change(name: str, found: bool, **fields: Any) -> Change:
    schema = fields.pop("schema", None)
    given = {"hash": None, "size": None, "rows": None, "schema": None if schema is None else dict(schema)}
    return Change("log_dataset", {"dataset": name, "fields": {**given, **fields}, "found": found})


def _check_told(name: str, said: Mapping[str, Any]) -> None:
    if not isinstance(said.get("hash", ""), str):
        raise ParameterError(f"the hash of dataset {name!r} must be a text, not {said['hash']!r}")
    size = said.get("size", 0)
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ParameterError(f"the size of dataset {name!r} must be a number of bytes, not {size!r}")


def read_dataset(version: DatasetVersion) -> Any:
    """Give what is in a version of a dataset; see `DatasetVersion.read`."""
    path = version.path
    if path is None or version.hash is None:
        raise ParameterError(f"{version} is at {version.uri}, which aiflow does not read: read it in your own function")
    try:
        return read(path, version.format, version.schema, version.hash)
    except Conflict as error:
        raise Conflict(f"{version}: {error}") from None


# ----------------------------------------------------------------------------------------------------------- artifacts


def artifact_change(name: str, path: Path | None, type: str | None, blobs: Blobs, uri: str | None = None) -> Change:
    """Copy what is in a file or folder into the blobs, and give the change that records it as a version.

    Parameters
    ----------
    name, type
        As the artifact is registered.
    path
        Where it is; None if that is elsewhere: then only the uri is recorded.
    blobs
        Where its content goes.
    uri
        Where it is, if that is elsewhere.

    Raises
    ------
    NotFound, ParameterError, Conflict, StoreError, OSError
        What `content_of` and `Blobs.put_file` raise; the home has at most blobs too many then, which pruning sweeps up.
    """
    if path is None:
        return Change("log_artifact", {"artifact": name, "fields": {"uri": uri, "type": type}})

    def take(file: Path) -> tuple[str, int]:
        digest = blobs.put_file(file)
        return digest, blobs.path(digest).stat().st_size

    parts: list[Part] = []
    content = content_of(path, take, parts)
    for part in parts:
        if not is_inside(part.name):
            raise ParameterError(
                f"{path} has a file named {part.name!r}, which could not be put back safely: give it a name without '\\' and "
                "percent-encoded slashes and dots"
            )
    manifest = None if content.kind == "file" else blobs.put_bytes(_manifest(parts))
    fields = {
        "uri": os.path.abspath(path),
        "type": type,
        "hash": content.hash,
        "size": content.size,
        "manifest": manifest,
    }
    return Change("log_artifact", {"artifact": name, "fields": fields})


def _manifest(parts: list[Part]) -> bytes:
    """Write down what is in a folder: JSON, one file a line."""
    lines = [json.dumps({k: v for k, v in part._asdict().items() if v is not None}) for part in parts]
    return ("[" + ",\n".join(lines) + "]\n").encode()


def _parts(blobs: Blobs, manifest: str) -> list[Part]:
    with blobs.open(manifest) as file:
        return [Part(**part) for part in json.load(file)]


def blobs_in(blobs: Blobs, manifest: str) -> set[str]:
    """Give the hashes of the blobs that a manifest names; raises `StoreError` if it is missing or damaged."""
    return {part.hash for part in _parts(blobs, manifest) if part.target is None}


def files_of(version: ArtifactVersion) -> tuple[str, ...]:
    """Give the names of the files of a version of an artifact."""
    if version.manifest is None:
        return (_own_name(version),)
    return tuple(part.name for part in _parts(_blobs_of(version), version.manifest) if part.target is None)


def _own_name(version: ArtifactVersion) -> str:
    return PurePath(version.uri or "").name or version.artifact.replace("/", "_")


def _blobs_of(version: ArtifactVersion) -> Blobs:
    if version.hash is None:
        raise StoreError(f"{version} is at {version.uri}, and nothing of it is kept in the home")
    return Blobs(Path(version.home) / "blobs")


def open_artifact(version: ArtifactVersion, name: str | None) -> BinaryIO:
    """Open what was kept of a version of an artifact; see `ArtifactVersion.open`."""
    blobs = _blobs_of(version)
    if version.manifest is None:
        if name not in (None, _own_name(version)):
            raise NotFound(f"file in {version}", name, [_own_name(version)])
        return blobs.open(version.hash or "")
    parts = {part.name: part for part in _parts(blobs, version.manifest)}
    if name is None:
        raise ParameterError(
            f"{version} is a folder of {len(parts)} files: say which one, for example {min(parts, default='')!r}"
        )
    part = parts.get(_followed(name, parts))
    if part is None or part.target is not None:
        path_within(version.home, name)  # a name that leads out of the folder is another mistake
        raise NotFound(f"file in {version}", name, list(parts))
    return blobs.open(part.hash)


def _followed(name: str, parts: Mapping[str, Part]) -> str:
    """Give the file that a link in a folder leads to."""
    for _ in range(40):  # as many links as an operating system follows
        target = parts[name].target if name in parts else None
        if target is None:
            break
        name = os.path.normpath(f"{os.path.dirname(name)}/{target}".lstrip("/"))
    return name


def save_artifact(version: ArtifactVersion, path: Path | str) -> Path:
    """Write what was kept of a version of an artifact; see `ArtifactVersion.save_to`."""
    blobs, path = _blobs_of(version), Path(path)
    if version.manifest is None:
        target = path / _own_name(version) if path.is_dir() else path
        return _appear(target, lambda half: _copy(blobs, version.hash or "", half))
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise Conflict(f"{path} is there and not empty: save {version} to a new folder")
    parts = _parts(blobs, version.manifest)
    return _appear(path, lambda half: _unfold(blobs, parts, half))


def _appear(path: Path, make: Any) -> Path:
    """Have something made beside its place, and then put there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.half")
    try:
        make(half)
        os.replace(half, path)
    finally:
        if half.is_dir():
            shutil.rmtree(half, ignore_errors=True)
        else:
            half.unlink(missing_ok=True)
    return path


def _copy(blobs: Blobs, digest: str, path: Path) -> None:
    with blobs.open(digest) as source, open(path, "xb") as target:
        shutil.copyfileobj(source, target)


def _unfold(blobs: Blobs, parts: list[Part], folder: Path) -> None:
    """Make a folder of its parts; links come last, so that no file is written through one, and none may lead out."""
    folder.mkdir()
    for part in sorted(parts, key=lambda part: part.target is not None):
        path = path_within(folder, part.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if part.target is None:
            _copy(blobs, part.hash, path)
        else:
            path.symlink_to(part.target)
    for part in parts:
        if part.target is not None:
            path_within(folder, part.name)
