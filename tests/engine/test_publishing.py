"""Functions that Flink runs publish from processes of the cluster: into the store, or over HTTP to the project's endpoint."""

import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import alone, child, until
from tests.engine import publishing
from tests.engine.publishing import holding

import aiflow as af
from aiflow import flink


class Cluster:
    """A home with an execution whose job runs, and a folder with the module that says so."""

    def __init__(self, folder: Path) -> None:
        self.home, self.folder = folder / "home", folder / "worker"
        self.folder.mkdir()
        self.execution_id = ""

    def open(self) -> af.Project:
        return af.Project("p", home=self.home)

    def start(self, project: af.Project) -> af.Execution:
        execution = project.start(holding)
        until(lambda: (job := execution.job("hold")) is not None and job.status == "RUNNING")
        self.execution_id = execution.id
        return execution

    def identify(self, **more: Any) -> None:
        job = {
            "home": str(self.home), "namespace": "p", "execution_id": self.execution_id, "context": None, "job": "hold",
            "number": 1, "url": None, "token": None,
        }  # fmt: skip
        publishing.identify(str(self.folder), job | more)
        sys.modules.pop("aiflow_flink_job", None)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    found = Cluster(tmp_path)
    monkeypatch.syspath_prepend(found.folder)
    yield found
    flink.close()
    sys.modules.pop("aiflow_flink_job", None)
    invariants.check(found.home)


@pytest.mark.parametrize("is_remote", [False, True], ids=["local", "remote"])
def test_an_event_from_a_cluster_is_the_job_s_and_starts_others_and_is_there_once_with_a_dedupe_key(
    cluster: Cluster, is_remote: bool
) -> None:
    with cluster.open() as project:
        execution = cluster.start(project)
        url, token = project._shared.endpoint() if is_remote else (None, None)
        cluster.identify(url=url, token=token)
        first = af.flink.publish("said.once", {"n": [1, None, "ä"]}, dedupe_key="a")
        again = af.flink.publish("said.again", 5, dedupe_key="a")
        assert again == first == project.events.get(first.offset)
        assert (first.sender, first.context, first.execution_id) == ("hold", execution.id, execution.id)
        until(lambda: execution.results("hear") == [{"n": [1, None, "ä"]}])
        other = af.flink.publish("alarm", type="MINE", namespace="q", sender="me", context=None)
        assert (other.type, other.namespace, other.sender, other.context) == ("MINE", "q", "me", None)
        for wrong in ({"value": object()}, {"type": "JOB_LOST"}, {"context": 5}):
            with pytest.raises(af.ParameterError):
                af.flink.publish("x", **wrong)  # type: ignore[arg-type]
        execution.stop().wait(30)
        with pytest.raises(af.Conflict, match="'hold' number 1 .* is STOPPED: nothing it does is recorded"):
            af.flink.publish("said.late")
        cluster.identify(url=url, token=token, number=7)
        with pytest.raises(af.Conflict, match="is not known here"):
            af.flink.publish("said.by nobody")
        assert project.events.count(keys="said.*") == 1


def test_on_the_same_machine_events_are_durable_while_nobody_runs_the_project(cluster: Cluster) -> None:
    with cluster.open() as project:
        execution = cluster.start(project)
        project.close(detach=True)
    cluster.identify()
    told = alone(publishing.publish_alone, str(cluster.folder), ["said.1", "said.2", "said.1"])
    own = ["hold", execution.id, execution.id]
    assert told == [[told[0][0], *own, {"n": 0}], [told[0][0] + 1, *own, {"n": 1}], told[0]]
    assert alone(publishing.publish_together, str(cluster.folder), 4, 8) == 8 + 4 * 8
    with cluster.open() as project:
        project.recover()
        execution = project.executions.get(execution.id)
        until(lambda: len(execution.results("hear")) == 2 + 8 + 4 * 8)
        assert execution.results("hear")[:2] == [{"n": 0}, {"n": 1}]
        execution.stop().wait(30)


def test_what_is_no_process_of_a_cluster_and_what_has_no_home_is_told_so(cluster: Cluster, tmp_path: Path) -> None:
    cluster.open().close()
    with pytest.raises(af.FlinkError, match="elsewhere, use af.publish"):
        af.flink.publish("x")
    cluster.identify(home=str(tmp_path / "elsewhere"))
    with pytest.raises(af.FlinkError, match="there is no store in .*elsewhere on this machine"):
        af.flink.publish("x")
    assert not (tmp_path / "elsewhere").exists()


# --- the endpoint -----------------------------------------------------------------------------------------------------


def ask(
    url: str, token: str, method: str = "POST", path: str = "/events", body: Any = None, **headers: Any
) -> tuple[int, str]:
    """Send a request with these headers (with _ for -; a list for several, None for none), and give status and body."""
    host, _, port = url.removeprefix("http://").partition(":")
    said = {
        "Host": f"{host}:{port}",
        "Authorization": f"Bearer {token}",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    said.setdefault("Content-Length", str(len(text)))
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in said.items():
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            connection.putheader(name, one)
    connection.endheaders(text)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_the_endpoint_is_for_those_with_the_token_who_mean_it_and_for_nobody_from_a_page(cluster: Cluster) -> None:
    with cluster.open() as project:
        execution = cluster.start(project)
        url, token = project._shared.endpoint()
        assert url.startswith("http://127.0.0.1:")
        port = url.rpartition(":")[2]
        before = project.events.count()
        body = {"run": [execution.id, "hold", 1], "drafts": [["x", 1, "UNDEFINED", "p"]]}
        bad: list[dict[str, Any]] = [
            {"Authorization": None}, {"Authorization": "Bearer x"}, {"Authorization": token}, {"Authorization": f"Bearer {token}ä"},
            {"Authorization": [f"Bearer {token}", "Bearer x"]}, {"Host": None}, {"Host": "evil.example"}, {"Host": f"evil.example:{port}"},
            {"Host": f"127.0.0.1:{int(port) - 1}"}, {"Host": "127.0.0.1"}, {"Host": f"127.0.0.1:{port}/x"}, {"Host": f"a@127.0.0.1:{port}"},
            {"Host": [f"127.0.0.1:{port}", "evil.example"]}, {"Host": f"127.0.0.1.evil.example:{port}"}, {"Host": "127.0.0.1:x"},
            {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"http://evil.example:{port}"}, {"Origin": ""},
            {"Origin": f"https://127.0.0.1:{port}"}, {"Origin": f"http://127.0.0.1.evil.example:{port}"}, {"Origin": "http://[::1"},
        ]  # fmt: skip
        for headers in bad:
            assert ask(url, token, body=body, **headers)[0] == 403, headers
        assert ask(url, token, "GET")[0] == 405
        assert ask(url, "x", "GET")[0] == 403
        assert ask(url, token, path="/", body=body)[0] == 404
        assert ask(url, token, body=body, Content_Length=None)[0] == 411
        assert ask(url, token, body=body, Content_Length="5000000")[0] == 413
        for wrong in (
            b"{",
            b"[]",
            {"run": [1, 2, 3], "drafts": []},
            {**body, "drafts": [[]]},
            {**body, "drafts": [["job:x"]]},
        ):
            assert ask(url, token, body=wrong)[0] == 400, wrong
        assert project.events.count() == before
        good: list[dict[str, Any]] = [{}, {"Host": f"localhost:{port}"}, {"Origin": url}, {"Host": f"[::1]:{port}"}]
        for headers in good:
            status, said = ask(url, token, body=body, **headers)
            assert status == 200, said
        forged = [["x", 1, "UNDEFINED", "p", None, None, "another", 5.0]]
        (event,) = json.loads(ask(url, token, body={**body, "drafts": forged})[1])
        assert project.events.get(event[0]).execution_id == execution.id
        assert project.events.get(event[0]).timestamp > 1e9
        execution.stop().wait(30)


def test_a_restarted_project_is_found_again_at_the_same_address_by_who_tries_meanwhile(cluster: Cluster) -> None:
    with cluster.open() as project:
        execution = cluster.start(project)
        url, token = project._shared.endpoint()
        cluster.identify(url=url, token=token)
        assert af.flink.publish("said.before").offset
        assert oct((cluster.home / "flink" / "endpoint.json").stat().st_mode)[-3:] == "600"
        project.close(detach=True)
    told: list[af.Event] = []
    speaker = threading.Thread(target=lambda: told.append(af.flink.publish("said.meanwhile", 5)))
    speaker.start()
    with cluster.open() as project:
        project.recover()
        assert project._shared.endpoint() == (url, token)
        speaker.join(30)
        assert [e.value for e in told] == [5]
        project.executions.get(execution.id).stop().wait(30)


def test_who_cannot_be_reached_in_time_is_told_of(cluster: Cluster) -> None:
    cluster.open().close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    remote = flink.Remote(f"http://127.0.0.1:{port}", "x", patience=0.1)
    who = flink.Identity("", "p", "e", "hold", 1)
    with pytest.raises(
        af.FlinkError, match=f"http://127.0.0.1:{port} could not be reached for 0.1 s .ConnectionRefusedError"
    ):
        remote.publish(who, af.Draft("x"))
    with cluster.open() as project:
        url, _ = project._shared.endpoint()
        with pytest.raises(af.FlinkError, match="has refused POST /events: 403: the token is wrong"):
            flink.Remote(url, "x", patience=0.1).publish(who, af.Draft("x"))


class Gap:
    """A connection to the endpoint that swallows the first answer."""

    def __init__(self, url: str) -> None:
        self.target = ("127.0.0.1", int(url.rpartition(":")[2]))
        self.server = socket.create_server(("127.0.0.1", 0))
        self.count = 0
        threading.Thread(target=self._pass_on, daemon=True).start()

    def _pass_on(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            self.count += 1
            with client, socket.create_connection(self.target) as target:
                asked = client.recv(65536)
                while b"\r\n\r\n" not in asked or not asked.endswith(b"}"):
                    asked += client.recv(65536)
                target.sendall(asked.replace(b":%d" % self.server.getsockname()[1], b":%d" % self.target[1]))
                answer = target.recv(65536)
                if self.count > 1:
                    client.sendall(answer)


def test_an_event_whose_answer_was_lost_is_not_there_twice(cluster: Cluster) -> None:
    with cluster.open() as project:
        execution = cluster.start(project)
        url, token = project._shared.endpoint()
        gap = Gap(url)
        cluster.identify(url=f"http://127.0.0.1:{gap.server.getsockname()[1]}", token=token)
        event = af.flink.publish("said.once")
        assert gap.count == 2
        assert [e.offset for e in project.events.list(keys="said.*")] == [event.offset]
        gap.server.close()
        execution.stop().wait(30)


def test_when_the_process_dies_that_listens_another_one_of_the_home_does_at_the_same_address(cluster: Cluster) -> None:
    with cluster.open() as project:
        execution = cluster.start(project)
        with child(publishing.listen, str(cluster.home)) as other:
            url, token = other.hear_of("listens ").split()
            assert project._shared.endpoint() == (url, token)
            endpoint: Any = project._shared._endpoint
            assert not endpoint.is_listening
            cluster.identify(url=url, token=token)
            assert af.flink.publish("said.there").offset
            other.kill()
        assert af.flink.publish("said.here").offset
        assert endpoint.is_listening
        execution.stop().wait(30)


def test_a_port_that_another_program_has_taken_is_given_up_with_a_warning(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with cluster.open() as project:
        url, token = project._shared.endpoint()
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))), cluster.open() as project:
        assert project._shared.endpoint() != (url, token)
        assert project._shared.endpoint()[1] == token
    assert "is taken by another program" in caplog.text
