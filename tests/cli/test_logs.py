"""`--log-format json`: each line of standard error is an object, with the ids that are known."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.cli import logs
from aiflow.testing import project_for_tests

Aiflow = Callable[..., Any]

FLOW = """
import logging, sys
import aiflow as af

@af.job
def talk():
    print("two\\nlines")
    sys.stdout.write("begun")
    logging.getLogger("mine").warning("%d rows are odd", 3, extra={"rows": 3})
    af.current().logger.info("done")

@af.job(runner="process")
def apart():
    print("as text")
    logging.getLogger("mine.apart").error("2 rows are odd")

@af.job
def fail(_):
    raise ValueError("so it is")

@af.workflow
def NAME():
    talked = talk()
    apart()
    af.command("echo from a program >&2", shell=True, name="program")
    fail(talked)
"""


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_prints_records_progress_and_errors_are_objects_with_ids(aiflow: Aiflow, tmp_path: Path) -> None:
    name = "talking_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(FLOW.replace("NAME", name))
    said = aiflow("run", f"{name}.py", "--log-format", "json", "-o", "json", code=1)
    id_ = said.data["id"]
    told = records(said.err)
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, told))
    talk = {"execution_id": id_, "job": "talk", "number": 1, "attempt": 1}
    of_talk = {r["message"]: (r["logger"], r["level"], r.get("rows")) for r in told if talk.items() <= r.items()}
    assert {
        "two": ("aiflow.job.talk", "info", None),
        "lines": ("aiflow.job.talk", "info", None),
        "begun": ("aiflow.job.talk", "info", None),
        "3 rows are odd": ("mine", "warning", 3),
        "done": ("aiflow.job.talk", "info", None),
        "talk RUNNING": ("aiflow", "info", None),
    }.items() <= of_talk.items()
    assert [r["job"] for r in told if r["message"] == "from a program"] == ["program"]
    of_apart = {r["message"]: (r["logger"], r["level"]) for r in told if r.get("job") == "apart" and "status" not in r}
    assert of_apart == {"as text": ("aiflow.job.apart", "info"), "2 rows are odd": ("mine.apart", "error")}
    assert {r["execution_id"] for r in told if r.get("job") == "apart"} == {id_}
    error = told[[r["level"] for r in told].index("error", -3)]
    assert error["execution_id"] == id_
    assert "so it is" in error["message"]
    assert logs.current() is None


def test_the_environment_asks_for_it_and_a_users_mistake_is_an_object_too(
    aiflow: Aiflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIFLOW_LOG_FORMAT", "json")
    (record,) = records(aiflow("run", "nothing.py", code=2).err)
    assert record["level"] == "error"
    assert "there is no file 'nothing.py'" in record["message"]


def test_records_of_a_jobs_logger_have_the_ids_for_anybodys_handler(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @af.job
    def tell() -> None:
        af.current().logger.info("here")

    @af.workflow
    def telling() -> None:
        tell()

    with project_for_tests(tmp_path / "home") as project, caplog.at_level(logging.INFO):
        execution = project.run(telling)
    (record,) = [vars(r) for r in caplog.records if r.message == "here"]
    assert {k: record[k] for k in ("execution_id", "job", "number", "attempt")} == {
        "execution_id": execution.id, "job": "tell", "number": 1, "attempt": 1,
    }  # fmt: skip
