"""Faults that a home must survive and that no other test causes (docs/architecture.md says by what)."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import invariants
from tests.children import child, until
from tests.interface import deeds

import aiflow as af
from aiflow.cli import main
from aiflow.store.connection import sqlite3


def test_an_owner_that_lost_its_execution_lets_go_of_it_and_who_waits_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with child(deeds.lose_service, str(home)) as process, af.Project("shop", home=home) as project:
        heard = {process.hear(), process.hear()}
        assert "begun" in heard
        (execution,) = project.executions.list()
        (lock,) = (p for p in (home / "owners").iterdir() if p.name.startswith(f"{process.pid}-"))
        lock.unlink()  # as if the kernel had freed it while the process was cut off
        assert execution.status == "INTERRUPTED"
        execution.resume()
        until(lambda: (job := execution.job("waits")) and (job.attempt, job.status) == (2, "RUNNING"))
        assert "was taken over by another process" in process.end()
        assert execution.status == "RUNNING", "what the former owner still did changed nothing"
        execution.stop().wait(20)
        assert [(j.number, j.attempt, str(j.status)) for j in execution.jobs] == [(1, 2, "STOPPED")]
    invariants.check(home)


def test_a_reader_that_is_left_open_is_told_when_the_log_cannot_be_emptied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with af.Project("shop", home=tmp_path) as project:
        reader = sqlite3.connect(f"file:{tmp_path / 'aiflow.db'}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchall()
        project.publish("k", "x" * 3_000_000)
        project._store.check_log_size(1_000_000)
        project._store.check_log_size(1_000_000)
        reader.close()
    (record,) = (r for r in caplog.records if r.levelno == logging.WARNING)
    assert "has grown to 2 MB: some process keeps a reading transaction open" in record.getMessage()


@pytest.mark.parametrize(
    ("value", "told"), [("[1,", "'rows'"), ('{"a": }', "'table'"), ("x", "'rows'")], ids=["list", "dict", "text"]
)
def test_json_that_is_none_is_wrong_usage_and_makes_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], value: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "bad_json_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(
        "import aiflow as af\n\n@af.job\ndef use(x, y): return x\n\n"
        f"@af.workflow\ndef {name}(rows: list[int] = [], table: dict = {{}}):\n    use(rows, table)\n"
    )
    assert main(["run", f"{name}.py", "-p", f"{told[1:-1]}={value}"]) == 2
    err = capfd.readouterr().err
    assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / ".aiflow").exists()


def test_a_rule_that_names_a_job_that_is_not_there_is_told_with_close_names() -> None:
    from aiflow.graph.condition import StatusCondition

    @af.job
    def load() -> None: ...

    @af.workflow
    def w() -> None:
        load()
        load().start_on(StatusCondition("laod", "succeeded", ("SUCCESS",)))

    with pytest.raises(af.GraphError, match="which is not in workflow 'w'; did you mean 'load'"):
        w.build()


def test_ten_thousand_subscribers_get_each_event_once(tmp_path: Path) -> None:
    count = 10_000
    got = [0] * count

    def subscriber(number: int) -> Callable[[af.Event], None]:
        def take(event: af.Event) -> None:
            got[number] += 1

        return take

    with af.Project("shop", home=tmp_path) as project:
        for number in range(count):
            project.subscribe(subscriber(number), keys="k")
        project.publish_many([("k", 1), ("k", 2)])
        until(lambda: sum(got) >= 2 * count, 60)
    assert set(got) == {2}
