"""The public interface, sentence by sentence: 8. Command line. In this process: main() is what `python -m aiflow` calls."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.children import until

import aiflow as af

Aiflow = Callable[..., Any]

FLOW = """
import aiflow as af

@af.job
def load(n):
    print("loading", n)
    return list(range(n))

@af.job
def total(rows):
    return float("nan") if not rows else sum(rows)

@af.job
def late(*rows):
    return af.current().event.value

@af.workflow
def {name}(n: int = 3):
    total(load(n))

@af.workflow
def {name}_waits(n: int = 3):
    late(load(n)).start_on(af.event("go"))
"""


@pytest.fixture
def name(tmp_path: Path) -> str:
    """The name of a file with two workflows; its own, for modules stay imported."""
    name = "flow_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(FLOW.format(name=name))
    return name


@pytest.fixture
def file(name: str) -> str:
    return f"{name}.py:{name}"


def test_run_takes_parameters_context_and_a_timeout_and_gives_data_on_standard_output(
    aiflow: Aiflow, file: str
) -> None:
    said = aiflow("run", file, "-p", "n=4", "--context", "mine", "--timeout", "60", "-o", "json")
    assert (said.data["status"], said.data["params"], said.data["context"]) == ("SUCCESS", {"n": 4}, "mine")
    assert said.data["results"] == {"load": [0, 1, 2, 3], "total": 6}
    assert "loading 4" in said.err
    assert "total                RUNNING" in said.err


def test_show_gives_the_graph_as_text_mermaid_dot_or_svg(aiflow: Aiflow, file: str) -> None:
    beginnings = {"": "", "--mermaid": "flowchart", "--dot": "digraph", "--svg": "<svg"}
    for option, beginning in beginnings.items():
        out = aiflow("show", file, *filter(None, [option])).out
        assert out.startswith(beginning)
        assert "total" in out


def test_lists_are_arrays_and_single_things_objects_with_fields_named_as_the_attributes(
    aiflow: Aiflow, file: str
) -> None:
    run = aiflow("run", file, "-o", "json").data
    workflows, executions, jobs, events = (
        aiflow("list", what, "-o", "json").data for what in ("workflows", "executions", "jobs", "events")
    )
    assert [w["name"] for w in workflows] == [run["workflow"]]
    assert [e["id"] for e in executions] == [run["id"]]
    assert {j["job"] for j in jobs} == {"load", "total"}
    event = events[0]
    assert set(event) == {
        "offset", "key", "value", "type", "namespace", "sender", "context", "execution_id", "time",
    }  # fmt: skip
    shown = aiflow("execution", "show", run["id"], "-o", "json").data
    attributes = {"id", "workflow", "params", "context", "status", "event", "provenance", "started", "ended", "jobs"}
    assert attributes <= set(shown)
    job = {"job", "number", "attempt", "status", "started", "ended", "error", "label", "event"}
    assert all(job <= set(one) for one in shown["jobs"])


def test_nan_is_written_as_text(aiflow: Aiflow, file: str) -> None:
    assert aiflow("run", file, "-p", "n=0", "-o", "json").data["results"]["total"] == "NaN"


@pytest.mark.parametrize("form", ["table", "json", "yaml", "plain"])
def test_home_namespace_and_form_stand_before_or_after_the_command(aiflow: Aiflow, file: str, form: str) -> None:
    aiflow("--home", "there", "-n", "mine", "run", file)
    before = aiflow("--home", "there", "--namespace", "mine", "-o", form, "list", "jobs").out
    after = aiflow("list", "jobs", "--home", "there", "-n", "mine", "--output", form).out
    assert before == after
    assert "total" in before
    assert not Path(".aiflow").exists()


def test_a_value_that_parses_as_json_is_json_else_text(aiflow: Aiflow) -> None:
    for text, value in {"21.5": 21.5, '{"a": [1]}': {"a": [1]}, "hello": "hello", '"5"': "5", "null": None}.items():
        assert aiflow("event", "publish", "k", text, "-o", "json").data["value"] == value
    assert aiflow("event", "publish", "k", "-o", "json").data["value"] is None


def test_events_are_counted_and_followed_one_json_object_a_line(aiflow: Aiflow) -> None:
    for key in ("sensor.a", "other", "sensor.b"):
        aiflow("event", "publish", key)
    assert aiflow("event", "count", "--key", "sensor.*").out == "2\n"
    lines = aiflow("event", "tail", "--key", "sensor.*", "--since", "start", "--limit", "2").out.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["sensor.a", "sensor.b"]


def test_a_running_execution_is_shown_acted_on_and_told_why(aiflow: Aiflow, name: str, tmp_path: Path) -> None:
    from aiflow.cli.loading import load_workflow

    with af.Project() as project:
        execution = project.start(load_workflow(f"{name}.py:{name}_waits"))
        until(lambda: execution.job("load") and execution.job("load").status == "SUCCESS")  # type: ignore[union-attr]
        id_ = execution.id[:6]
        assert "late has not run yet" in aiflow("execution", "why", id_, "late").out
        aiflow("job", "start", id_, "late")
        until(lambda: execution.status == "SUCCESS")
        assert "because somebody asked" in aiflow("execution", "why", id_, "late").out
        for one in (["--job", "load"], ["load"]):
            assert aiflow("execution", "logs", id_, *one).out == "loading 3\n"
        other = project.start(load_workflow(f"{name}.py:{name}_waits"))
        assert f"{other.id} STOP" in aiflow("execution", "stop", other.id).out
        assert other.wait().status == "STOPPED"
        refused = aiflow("job", "restart", other.id, "late", code=2)
        assert "has ended (STOPPED)" in refused.err


def test_resume_goes_on_with_the_newest_that_failed(aiflow: Aiflow, tmp_path: Path) -> None:
    mend = tmp_path / "mended"
    (tmp_path / "mends.py").write_text(
        "import aiflow as af, pathlib\n\n@af.job\ndef load():\n    print('loading')\n    return 1\n\n"
        "@af.job\ndef use(n):\n    if not pathlib.Path('mended').exists():\n        raise ValueError('not yet')\n"
        "    return n + 1\n\n@af.workflow\ndef mends():\n    use(load())\n"
    )
    failed = aiflow("run", "mends.py", "-o", "json", code=1)
    assert "use: ValueError: not yet" in failed.err
    mend.touch()
    resumed = aiflow("run", "mends.py", "--resume", "-o", "json")
    assert (resumed.data["id"], resumed.data["results"]) == (failed.data["id"], {"load": 1, "use": 2})
    assert "loading" not in resumed.err
    aiflow("run", "mends.py", "--resume", code=2)


def test_a_file_with_several_workflows_and_none_named_is_wrong_usage_with_the_list(aiflow: Aiflow, name: str) -> None:
    said = aiflow("run", f"{name}.py", code=2)
    assert f"{name}.py:{name}" in said.err
    assert f"{name}.py:{name}_waits" in said.err


def test_a_broken_file_ends_with_1_and_the_users_frames_only(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text("def inner():\n    1 / 0\n\n\ninner()\n")
    said = aiflow("run", "breaks.py", code=1)
    assert said.err.count("  File ") == 2
    assert "breaks.py" in said.err
    assert "site-packages" not in said.err
    assert "importlib" not in said.err


def test_the_exit_codes(aiflow: Aiflow, file: str) -> None:
    for words, code in {
        ("version",): 0,
        ("run", file): 0,
        ("run", file, "-p", "m=1"): 2,
        ("nonsense",): 2,
        ("execution", "show", "nothing"): 2,
        ("run", "missing.py"): 2,
        ("list", "executions", "--home", "missing"): 3,
    }.items():
        said = aiflow(*words, code=code)
        assert "Traceback" not in said.err, words


def test_the_store_is_checked_and_copied(aiflow: Aiflow, file: str) -> None:
    aiflow("run", file)
    assert aiflow("db", "check", "-o", "json").data["ok"] is True
    assert aiflow("db", "backup", "copy.db", "-o", "json").data["file"] == "copy.db"
    assert Path("copy.db").stat().st_size > 0


def test_the_home_is_pruned_with_a_report_of_sizes(aiflow: Aiflow, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        aiflow("run", file, "-p", f"n={n}")
    told = aiflow("db", "prune", "--executions", "1", "--dry-run", "-o", "json").data
    assert (told["dry_run"], told["went"]["executions"]) == (True, 2)
    assert told["before"] == told["after"]
    shown = aiflow("db", "prune", "--executions", "1").out
    assert ["executions", "2"] in [line.split() for line in shown.splitlines()]
    assert {line.split()[0] for line in shown.splitlines()[-4:]} == {"database", "blobs", "logs", "scratch"}
    assert len(aiflow("list", "executions", "-o", "json").data) == 1
    assert aiflow("db", "prune").out.startswith("there was nothing to prune")
    assert aiflow("db", "check", "-o", "json").data["ok"] is True
    last = aiflow("list", "events", "-o", "json").data[-1]["offset"]
    assert aiflow("db", "prune", "--before", str(last), "-o", "json").data["pruned_until"] == last - 1
    assert "say since='start'" in aiflow("event", "tail", "--since", "1", code=3).err
    assert "--before stands alone" in aiflow("db", "prune", "--before", "1", "--days", "1", code=2).err
    assert "neither an offset nor a time" in aiflow("db", "prune", "--before", "soon", code=2).err
    assert aiflow("db", "prune", "--before", "2020-01-01", "-o", "json").data["went"] == {}
    assert "'2 GB'" in aiflow("db", "prune", "--blobs", "much", code=2).err
    monkeypatch.setenv("AIFLOW_KEEP", "executions=0")
    assert aiflow("db", "prune", "-o", "json").data["went"]["executions"] == 1


def test_the_command_line_takes_the_name_of_the_home_as_namespace(aiflow: Aiflow, tmp_path: Path) -> None:
    with af.Project("fraud", home=tmp_path / ".aiflow"):
        pass
    assert aiflow("event", "publish", "k", "-o", "json").data["namespace"] == "fraud"


def test_what_the_command_line_publishes_is_seen_by_who_subscribes(aiflow: Aiflow) -> None:
    with af.Project() as project:
        seen = threading.Event()
        with project.subscribe(lambda e: seen.set(), keys="k"):
            aiflow("event", "publish", "k")
            assert seen.wait(60), "what another opening of the home published is seen"
