"""What is asked of a Flink cluster over its REST interface, and what it answers.

Knows nothing of who started the cluster. It keeps nothing but the address, so any thread may use it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from aiflow.errors import FlinkError, NotFound
from aiflow.graph.flink_address import read_address
from aiflow.runners.flink_causes import cause_of, messages_of
from aiflow.runners.flink_jars import check_jar
from aiflow.runners.flink_progress import Progress, read_progress

__all__ = ["FlinkRest", "JobRow", "Progress", "Unreachable"]

_UPLOADING = 300.0  # seconds that sending a jar, and starting its program, may take

_NOT_READY = frozenset((502, 503, 504))  # also of what stands in front of a cluster


class Unreachable(FlinkError):
    """Nobody answers at the address of a cluster, or who answers is not ready."""


class JobRow(NamedTuple):
    """A job as the overview of a cluster shows it; `started` in milliseconds since 1970."""

    id: str
    name: str
    state: str
    started: int


class FlinkRest:
    """A cluster, by its address.

    Parameters
    ----------
    url
        Such as ``http://127.0.0.1:8081``.
    timeout
        Seconds to wait for an answer.

    Raises
    ------
    FlinkError
        If it is not such an address. All methods raise `Unreachable` if nobody answers, `NotFound` for a job that the
        cluster does not know, and `FlinkError` with Flink's own message for all else.
    """

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        try:
            self.address = read_address(url)
        except ValueError as error:
            raise FlinkError(f"{url!r} is no address of a Flink cluster: {error}") from None
        self.url, self.timeout = self.address.url, timeout
        self._connect = HTTPSConnection if self.address.scheme == "https" else HTTPConnection

    def __repr__(self) -> str:
        return f"FlinkRest({self.url!r})"

    # --- the cluster ------------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Give what the cluster says of itself: `flink-version` and more."""
        return self._document("GET", "/config")

    def overview(self) -> dict[str, Any]:
        """Give the numbers of TaskManagers, slots and jobs."""
        return self._document("GET", "/overview")

    def taskmanagers(self) -> list[str]:
        """Give the ids of all TaskManagers."""
        return [str(one["id"]) for one in self._document("GET", "/taskmanagers")["taskmanagers"]]

    def slots(self) -> tuple[int, int]:
        """Give how many slots are free, and how many there are."""
        overview = self.overview()
        return int(overview["slots-available"]), int(overview["slots-total"])

    # --- jobs -------------------------------------------------------------------------------------------------------

    def jobs(self) -> list[JobRow]:
        """Give all jobs that the cluster knows, the newest first."""
        found = self._document("GET", "/jobs/overview")["jobs"]
        rows = [JobRow(one["jid"], one["name"], one["state"], int(one["start-time"])) for one in found]
        return sorted(rows, key=lambda row: row.started, reverse=True)

    def job(self, job_id: str) -> dict[str, Any]:
        """Give a job: its `state`, its `vertices` and more."""
        return self._of_job("GET", job_id)

    def state(self, job_id: str) -> str:
        """Give the state of a job as it is now; what `job` tells may be a few seconds old."""
        return str(self._of_job("GET", job_id, "/status")["status"])

    def is_running(self, job_id: str) -> bool:
        """Tell whether a job does its work: without a TaskManager it still calls itself RUNNING, but its parts do not."""
        job = self.job(job_id)
        states = {vertex["status"] for vertex in job["vertices"]}
        return job["state"] == "RUNNING" and "RUNNING" in states and states <= {"RUNNING", "FINISHED"}

    def root_cause(self, job_id: str) -> tuple[str, str] | None:
        """Tell why a job failed, or was restarted last: in one line, and in full; the Python traceback if there is one."""
        return cause_of(self._of_job("GET", job_id, "/exceptions"))

    def progress(self, job_id: str) -> Progress:
        """Give how many records the last operators of a job have taken, and up to when its event time has come."""
        return read_progress(self.job(job_id), lambda path: self._answer("GET", f"/jobs/{quote(job_id)}{path}"))

    def cancel(self, job_id: str) -> None:
        """End a job at once; nothing happens if it is over."""
        try:
            self._of_job("PATCH", job_id, "?mode=cancel")
        except _Refused as refused:
            if refused.status != 409:
                raise

    def stop_with_savepoint(
        self, job_id: str, directory: str | None = None, drain: bool = False, request: str | None = None
    ) -> str:
        """Have a job write a savepoint and end; give the number to ask `savepoint` with.

        Parameters
        ----------
        job_id
            The job.
        directory
            Where to; None: where the cluster is configured to.
        drain
            Whether event time is brought to its end first, so that all windows close: for jobs that are not to go on.
        request
            The number, 32 hexadecimal digits; None: the cluster makes one. Who asks again with it asks for nothing new.
        """
        said = {"targetDirectory": directory, "drain": drain, "triggerId": request}
        answer = self._of_job("POST", job_id, "/stop", {name: value for name, value in said.items() if value})
        return str(answer["request-id"])

    def savepoint(self, job_id: str, request: str) -> str | None:
        """Give where a savepoint that was asked for lies; None while it is being written. Raises if it failed."""
        answer = self._of_job("GET", job_id, f"/savepoints/{quote(request)}")
        if answer["status"]["id"] != "COMPLETED":
            return None
        done = answer["operation"]
        if "failure-cause" in done:
            message = messages_of([done["failure-cause"].get("stack-trace", "")])
            raise FlinkError(f"the savepoint of the Flink job {job_id} could not be written: {message}")
        return str(done["location"])

    def latest_checkpoint(self, job_id: str) -> str | None:
        """Give where the newest checkpoint or savepoint lies that a job can start again from; None if there is none."""
        latest = self._of_job("GET", job_id, "/checkpoints").get("latest") or {}
        found = [latest[kind] for kind in ("completed", "savepoint") if latest.get(kind)]
        usable = [one for one in found if "/" in str(one.get("external_path")) and not one.get("discarded")]
        return max(usable, key=lambda one: int(one["trigger_timestamp"]))["external_path"] if usable else None

    # --- jars -------------------------------------------------------------------------------------------------------

    def upload_jar(self, path: str | Path) -> str:
        """Send a jar to the cluster; give its name there."""
        path = Path(path)
        boundary, name = secrets.token_hex(16), re.sub(r"[^\w.-]", "_", path.name, flags=re.ASCII)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="jarfile"; filename="{name}"\r\n'
            "Content-Type: application/x-java-archive\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        size = check_jar(path)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }
        answer = self._answer("POST", "/jars/upload", _in_parts(head, path, tail), headers, _UPLOADING)
        return str(answer["filename"]).rpartition("/")[2]

    def run_jar(
        self,
        jar: str,
        entry_class: str | None = None,
        args: Sequence[str] = (),
        parallelism: int | None = None,
        savepoint: str | None = None,
        config: Mapping[str, Any] | None = None,
        job_id: str | None = None,
    ) -> str:
        """Run the program of a jar that was sent, and give the id of its job: `job_id`, if it is given."""
        said = {
            "entryClass": entry_class, "programArgsList": list(args), "parallelism": parallelism,
            "savepointPath": savepoint, "jobId": job_id, "flinkConfiguration": {k: str(v) for k, v in (config or {}).items()},
        }  # fmt: skip
        body = {name: value for name, value in said.items() if value}
        return str(self._document("POST", f"/jars/{quote(jar)}/run", body, _UPLOADING)["jobid"])

    def delete_jar(self, jar: str) -> None:
        """Delete a jar that was sent."""
        self._document("DELETE", f"/jars/{quote(jar)}")

    # --- the wire ---------------------------------------------------------------------------------------------------

    def _of_job(self, method: str, job_id: str, path: str = "", body: Any = None) -> dict[str, Any]:
        try:
            return self._document(method, f"/jobs/{quote(job_id)}{path}", body)
        except _Refused as refused:
            # Some paths say it with 500.
            is_unknown = refused.status == 404 or "FlinkJobNotFoundException" in refused.raw
            if not is_unknown and not (refused.status == 400 and "job" in refused.raw.lower()):
                raise
            raise NotFound("Flink job", job_id) from refused

    def _document(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        answer = self._answer(method, path, data, {"Content-Type": "application/json"} if data else {}, timeout)
        if not isinstance(answer, dict):
            raise FlinkError(f"{self.url} is no Flink cluster: {path} gave {str(answer)[:80]!r}")
        return _Document(answer, f"{self.url} is no Flink cluster: {path} gave {str(answer)[:80]!r}")

    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        connection = self._connect(self.address.host, self.address.port, timeout=timeout or self.timeout)
        try:
            connection.request(method, self.address.path + path, body, dict(headers or {}))
            response = connection.getresponse()
            status, text = response.status, response.read().decode("utf-8", "replace")
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"no Flink cluster answers at {self.url}: {reason}") from error
        finally:
            connection.close()
        try:
            answer = json.loads(text) if text else {}
        except ValueError:
            if status in _NOT_READY:
                raise Unreachable(f"the Flink cluster at {self.url} is not ready: HTTP {status}") from None
            raise FlinkError(f"{self.url} is no Flink cluster: {path} gave {text[:80]!r} (HTTP {status})") from None
        if status < 400:
            return answer
        errors = answer.get("errors", [text]) if isinstance(answer, dict) else [text]
        message = messages_of([str(one) for one in errors])
        if status in _NOT_READY or (
            status == 500 and "TimeoutException" in text
        ):  # it waited in vain for a part of itself
            raise Unreachable(f"the Flink cluster at {self.url} is not ready: {message}")
        raise _Refused(status, message, text, self.url)


class _Document(dict[str, Any]):
    """What Flink answers; who asks for what is not in it has not asked Flink."""

    def __init__(self, answer: dict[str, Any], complaint: str) -> None:
        super().__init__(answer)
        self._complaint = complaint

    def __missing__(self, key: str) -> Any:
        raise FlinkError(self._complaint)


class _Refused(FlinkError):
    """What Flink did not do."""

    def __init__(self, status: int, message: str, raw: str, url: str) -> None:
        self.status, self.message, self.raw, self.url = status, message, raw, url
        super().__init__(f"the Flink cluster at {url} refused it (HTTP {status}): {message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.message, self.raw, self.url)


def _in_parts(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            yield part
    yield tail
