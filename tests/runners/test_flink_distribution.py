"""Where Flink is looked for, and what its programs are given."""

import os
from pathlib import Path

import pytest
from tests.children import is_alive, until

from aiflow.errors import FlinkError, Stopped
from aiflow.runners.flink_distribution import (
    described,
    distribution_of,
    environment_of,
    interpreter,
    write_configuration,
)


@pytest.mark.parametrize(
    ("python", "own", "version", "expected"),
    [
        ("/v/python", "/v/python", (3, 13), "/v/python, which is Python 3.13, and Flink has no package for that"),
        ("/v/python", "/v/python", (3, 12), "/v/python"),
        ("/other/python", "/v/python", (3, 13), "/other/python"),
    ],
)
def test_a_python_that_flink_has_no_package_for_is_told_as_one(
    python: str, own: str, version: tuple[int, int], expected: str
) -> None:
    assert described(python, own, version) == expected


def test_an_interpreter_without_flink_is_told_from_none_and_from_one_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho\n")
    python.chmod(0o755)
    with pytest.raises(FlinkError, match=f"apache-flink is not installed for {python}: .*AIFLOW_FLINK_PYTHON"):
        distribution_of(str(python))
    with pytest.raises(FlinkError, match="there is no interpreter '~/no/python'"):
        interpreter("~/no/python")
    monkeypatch.chdir(tmp_path)
    assert interpreter("./python") == str(python)
    (broken := tmp_path / "broken").write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(FlinkError, match="could not be asked for its Flink: exit status 3"):
        distribution_of(str(broken))


def test_an_interpreter_that_hangs_is_ended_with_what_it_has_started_as_soon_as_nobody_waits(tmp_path: Path) -> None:
    python, pid = tmp_path / "python", tmp_path / "pid"
    python.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {pid}.new\nmv {pid}.new {pid}\nwait\n")
    python.chmod(0o755)

    def meanwhile(text: str) -> None:
        assert text.startswith(f"{python} is asked for its Flink (")
        if pid.exists():
            raise Stopped("nobody waits")

    with pytest.raises(Stopped):
        distribution_of(str(python), meanwhile)
    until(lambda: not is_alive(int(pid.read_text())))


@pytest.fixture
def flink(tmp_path: Path) -> Path:
    """What a Flink looks like from outside."""
    for name in ("lib/dist.jar", "opt/flink-python-2.jar", "opt/other.jar", "conf/config.yaml"):
        (tmp_path / "pyflink" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pyflink" / name).write_text("env:\n  java:\n    opts:\n      all: --add-this --add-that\n")
    return tmp_path / "pyflink"


def test_a_directory_is_made_ready_again_without_taking_away_what_stays(flink: Path, tmp_path: Path) -> None:
    directory = tmp_path / "made"
    write_configuration(flink, directory, {"rest.port": 1, "a": 'say "ü"'})
    assert sorted(os.listdir(directory / "lib")) == ["dist.jar", "flink-python-2.jar"]
    lines = (directory / "conf/config.yaml").read_text(encoding="utf-8").splitlines()
    assert lines == [
        f'env.java.opts.all: "--add-this --add-that -Djava.io.tmpdir={directory}/tmp"', 'rest.port: "1"', 'a: "say \\"ü\\""',
    ]  # fmt: skip
    stays = (directory / "lib/flink-python-2.jar").lstat()
    (flink / "lib/dist.jar").rename(flink / "lib/new.jar")
    (directory / "lib/old.jar").symlink_to(flink / "lib/old.jar")
    write_configuration(flink, directory, {})
    assert sorted(os.listdir(directory / "lib")) == ["flink-python-2.jar", "new.jar"]
    assert (directory / "lib/flink-python-2.jar").lstat() == stays


def test_the_environment_has_nothing_of_another_flink_and_nothing_of_the_job_that_starts_it(tmp_path: Path) -> None:
    base = {"FLINK_CONF_DIR": "/etc/flink", "AIFLOW_FAMILY": "x;", "AIFLOW_JOB": "train", "PATH": "/bin", "MINE": "1"}
    found = environment_of(Path("/pyflink"), Path("/java"), tmp_path, "/venv/bin/python", base)
    assert (found["MINE"], found["PATH"], found["JAVA_HOME"]) == ("1", f"/venv/bin{os.pathsep}/bin", "/java")
    assert found["FLINK_CONF_DIR"] == str(tmp_path / "conf")
    assert not {"AIFLOW_FAMILY", "AIFLOW_JOB"} & set(found)
