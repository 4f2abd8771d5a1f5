"""What commands write, in this process; that they work as processes is shown by end_to_end/test_command_line.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import aiflow as af
from aiflow.cli import main

SUMS = """
import aiflow as af

@af.job
def load(n):
    return list(range(n))

@af.job
def total(rows):
    return sum(rows)

@af.workflow
def {name}(number: int = 3, api_token: str = "hidden-text"):
    total(load(number))
"""


class Said(NamedTuple):
    out: str
    err: str


Aiflow = Callable[..., Said]


@pytest.fixture
def aiflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Aiflow:
    monkeypatch.chdir(tmp_path)

    def call(*words: str, code: int = 0) -> Said:
        found = main(words)
        said = Said(*capfd.readouterr())
        assert found == code, f"exit {found}, not {code}\n{said.out}\n{said.err}"
        return said

    return call


@pytest.fixture
def sums(tmp_path: Path) -> str:
    """A file with a workflow, with a name of its own: modules stay imported for the length of this process."""
    name = "sums_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(SUMS.format(name=name))
    return name


def test_the_forms_of_output_say_the_same(aiflow: Aiflow) -> None:
    with af.Project() as project:
        project.publish("go", {"n": [1, None], "text": "a: b", "nan": float("nan"), "empty": {}})
    as_json = json.loads(aiflow("list", "events", "-o", "json").out)
    assert as_json[0]["value"] == {"n": [1, None], "text": "a: b", "nan": "NaN", "empty": {}}
    as_yaml = aiflow("list", "events", "-o", "yaml").out
    block = '  value:\n    "n":\n      - 1\n      - null\n    text: "a: b"\n    "nan": "NaN"\n    empty: {}\n'
    assert block in as_yaml
    assert aiflow("list", "events", "-o", "plain").out.split("\t")[2] == "go"
    assert aiflow("list", "events").out.splitlines()[0].split()[:3] == ["OFFSET", "TIME", "KEY"]


def test_results_of_secret_parameters_are_hidden(
    aiflow: Aiflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOOR_KEY", "open-sesame")
    (tmp_path / "leaky.py").write_text(
        "import aiflow as af\n\n@af.job\ndef leak(key):\n    return {'said': 'it is ' + key, 'password': 'x'}\n\n"
        "@af.workflow\ndef leaky(key: str = af.Secret('env:DOOR_KEY')):\n    leak(key)\n"
    )
    shown = aiflow("run", "leaky.py", "-o", "json").out
    assert json.loads(shown)["results"] == {"leak": {"said": "it is ***", "password": "***"}}
    assert "open-sesame" not in aiflow("run", "leaky.py").out


def test_a_secret_parameter_is_shown_nowhere(aiflow: Aiflow, sums: str) -> None:
    said = aiflow("run", f"{sums}.py", "-p", "api_token=rosebud", "-o", "json")
    shown = aiflow("execution", "show", json.loads(said.out)["id"], "-o", "json")
    assert "rosebud" not in said.out + said.err + shown.out
    assert json.loads(shown.out)["params"]["api_token"] == "***"


def test_what_a_program_wrote_before_it_failed_is_told_once(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "sad.py").write_text(
        "import aiflow as af\n\n@af.workflow\ndef sad():\n"
        "    af.command('echo so sad >&2; exit 3', shell=True, name='weep')\n"
    )
    said = aiflow("run", "sad.py", code=1)
    assert said.err.count("so sad\n") == 1
    assert said.err.rstrip().splitlines()[-1].endswith("exited with code 3")
    assert said.out.rstrip().endswith("exited with code 3")
    with af.Project() as project:
        (execution,) = project.executions.list()
        assert "the end of its standard error:\nso sad" in execution.jobs[0].error
        with pytest.raises(af.ExecutionFailed) as failed:
            execution.check()
    assert str(failed.value).count("exited with code 3") == 1
    assert str(failed.value).endswith("    so sad")


def test_a_job_that_has_not_begun_is_a_row_of_the_table(aiflow: Aiflow, sums: str) -> None:
    from aiflow.testing import project_for_tests, run_until_idle

    @af.job
    def told() -> int:
        return 1

    @af.workflow
    def telling() -> None:
        told().start_on(af.event("go"))

    with project_for_tests(".aiflow") as project:
        execution = project.start(telling)
        run_until_idle(project)
        shown = aiflow("execution", "show", execution.id).out.splitlines()
        execution.stop()
    assert shown[-1].split() == ["told", "INIT", "waits", "for", "event('go')"]


def test_executions_are_listed_with_their_contexts_if_they_have_any(aiflow: Aiflow, sums: str) -> None:
    aiflow("run", f"{sums}.py")
    assert "CONTEXT" not in aiflow("list", "executions").out
    aiflow("run", f"{sums}.py", "--context", "berlin")
    header, newest, *_ = aiflow("list", "executions").out.splitlines()
    assert header.split()[-1] == "CONTEXT"
    assert newest.split()[-1] == "berlin"


def test_an_interrupted_execution_is_shown_with_the_command_that_goes_on_with_it(aiflow: Aiflow) -> None:
    from aiflow.display import execution_text

    @af.job
    def hang() -> None:
        af.current().wait_stop(60)

    @af.workflow
    def hanging() -> None:
        hang()

    project = af.Project()
    id_ = project.start(hanging).id
    project.close(detach=True)
    how = f"its process is gone; go on with it: aiflow execution resume {id_}"
    assert how in aiflow("list", "executions").out
    shown = aiflow("execution", "show", id_).out
    assert how in shown
    assert shown.splitlines()[-1].split() == ["hang", "RUNNING", "1", "its", "process", "is", "gone"]
    with af.Project() as project:
        assert how in execution_text(project.executions.get(id_))


def test_what_is_not_there_is_wrong_usage(aiflow: Aiflow) -> None:
    af.Project().close()
    assert "no execution 'nothing'" in aiflow("execution", "show", "nothing", code=2).err
    assert "did you mean 'SUCCESS'?" in aiflow("list", "jobs", "--status", "SUCESS", code=2).err


def test_show_draws_the_graph_without_running_anything(aiflow: Aiflow, sums: str, tmp_path: Path) -> None:
    said = aiflow("show", f"{sums}.py").out
    assert said.endswith("load\n└─ total\n")
    assert "hidden-text" not in said
    assert aiflow("show", f"{sums}.py", "--mermaid").out.startswith("flowchart LR")
    assert aiflow("show", f"{sums}.py:{sums}", "--dot").out.startswith("digraph")
    assert aiflow("show", f"{sums}.py", "-p", "number=2", "--svg").out.startswith("<svg")
    data: Any = json.loads(aiflow("show", f"{sums}.py", "-o", "json").out)
    assert [n["name"] for n in data["nodes"]] == ["load", "total"]
    assert not (tmp_path / ".aiflow").exists()


def test_show_says_what_starts_and_stops_the_workflow(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "arriving.py").write_text(
        "import aiflow as af\n\n@af.job\ndef load(path):\n    return path\n\n"
        "@af.workflow(start_on=af.file('inbox/*.csv'), stop_on=af.event('enough'))\ndef arriving(path: str):\n    load(path)\n"
    )
    assert aiflow("show", "arriving.py").out.splitlines() == [
        "arriving(path: str)", "start on file('inbox/*.csv')", "stop on event('enough')", "load"
    ]  # fmt: skip
    data: Any = json.loads(aiflow("show", "arriving.py", "-o", "json").out)
    assert (data["start_on"], data["stop_on"]) == ("file('inbox/*.csv')", "event('enough')")


def test_help_teaches_by_examples(aiflow: Aiflow) -> None:
    assert "$ aiflow run iris.py -p neighbors=7" in aiflow("--help").out
    for words in (["run"], ["list", "events"], ["execution", "resume"], ["event", "publish"], ["db", "check"], ["job"]):
        assert "$ aiflow " + " ".join(words) in aiflow(*words, "--help").out
    assert "aiflow" in json.loads(aiflow("version", "-o", "json").out)


def test_no_example_is_too_long_for_a_narrow_terminal(aiflow: Aiflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in (
        [],
        ["run"],
        ["show"],
        ["list"],
        ["event"],
        ["event", "publish"],
        ["execution"],
        ["job"],
        ["db"],
        ["lineage", "show"],
    ):
        shown = aiflow(*words, "--help").out.partition("Examples:")[2].partition("╭")[0]
        assert all(line.lstrip().startswith("$ aiflow ") for line in shown.splitlines() if line.strip()), words


def test_a_command_that_lacks_something_says_where_help_is(aiflow: Aiflow) -> None:
    assert "aiflow run --help" in aiflow("run", code=2).err
    assert "did you mean" in aiflow("lsit", code=2).err.lower()
    assert "Commands" in aiflow(code=2).err


def test_a_failed_execution_tells_later_where_it_failed(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "import aiflow as af\n\n@af.job\ndef divide(x):\n    return 1 / x\n\n"
        "@af.workflow\ndef wrong(x: int = 0):\n    divide(x)\n"
    )
    aiflow("run", "wrong.py", code=1)
    listed = json.loads(aiflow("list", "executions", "-o", "json").out)[0]
    assert listed["reason"] == "divide: ZeroDivisionError: division by zero"
    shown = aiflow("execution", "show", listed["id"]).out
    assert "reason      divide: ZeroDivisionError: division by zero\n" in shown
    assert shown.rstrip().splitlines()[-3].endswith('wrong.py", line 5, in divide')
    job = json.loads(aiflow("execution", "show", listed["id"], "-o", "json").out)["jobs"][0]
    assert "line 5, in divide" in job["traceback"]


def test_several_failed_jobs_are_named(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "wrongs.py").write_text(
        "import aiflow as af\n\n@af.job\ndef one():\n    raise OSError\n\n@af.job\ndef two():\n    raise OSError\n\n"
        "@af.workflow\ndef wrongs():\n    one()\n    two()\n"
    )
    aiflow("run", "wrongs.py", code=1)
    assert json.loads(aiflow("list", "executions", "-o", "json").out)[0]["reason"] in (
        "failed: one, two",
        "failed: two, one",
    )


def test_resuming_what_was_stopped_is_said_to_be_done_by_its_id(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text(
        "import aiflow as af\n\n@af.job\ndef rest():\n    pass\n\n"
        "@af.workflow\ndef idle():\n    rest().start_on(af.event('never'))\n"
    )
    said = aiflow("run", "idle.py", "--timeout", "0.01", code=1)
    hint = said.err.rstrip().splitlines()[-1]
    assert hint.startswith("go on with it: aiflow execution resume ")
    refused = aiflow("run", "idle.py", "--resume", code=2).err
    assert f"one was stopped: {hint.removeprefix('go on with it: ')}" in refused


def test_a_command_is_found_in_its_group(aiflow: Aiflow) -> None:
    assert "No such command 'logs'. Did you mean 'aiflow execution logs'?" in aiflow("logs", code=2).err
    assert "'aiflow list schedules'" in aiflow("schedules", code=2).err
    assert "Did you mean 'run'?" in aiflow("rnu", code=2).err


def test_why_tells_of_all_jobs_if_none_is_named(aiflow: Aiflow, sums: str) -> None:
    done = json.loads(aiflow("run", f"{sums}.py", "-o", "json").out)
    told = json.loads(aiflow("execution", "why", done["id"], "-o", "json").out)
    assert {one["job"] for one in told} == {one["job"] for one in done["jobs"]}
    text = aiflow("execution", "why", done["id"]).out
    assert all(one["why"] in text for one in told)
    assert json.loads(aiflow("execution", "why", done["id"], told[0]["job"], "-o", "json").out) == told[0]


def test_what_is_wrong_in_the_body_of_a_workflow_is_told_with_its_line(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "import aiflow as af\n\n@af.job\ndef rest():\n    pass\n\n"
        "@af.workflow\ndef odd():\n    rest().start_on(af.cron('61 * * * *'))\n"
    )
    said = aiflow("run", "odd.py", code=2).err
    assert "af.cron('61 * * * *'): Bad minute" in said
    assert f"in {tmp_path / 'odd.py'}, line 9: rest().start_on(af.cron('61 * * * *'))" in said


@pytest.mark.parametrize(("typed", "noun"), [("dataset show raw", "datasets"), ("artifact", "artifacts")])
def test_a_noun_that_is_no_command_leads_to_its_list(aiflow: Aiflow, typed: str, noun: str) -> None:
    assert f"Did you mean 'aiflow list {noun}'?" in aiflow(*typed.split(), code=2).err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("model list", "aiflow list models"),
        ("metric ls", "aiflow list metrics"),
        ("lineage knn:1", "aiflow lineage show knn:1"),
        ("model knn", "aiflow model show knn"),
        ("execution k3vq", "aiflow execution show k3vq"),
        ("model delte", "delete"),
        ("db list", None),
    ],
)
def test_what_is_typed_in_a_group_of_commands_by_habit_gets_a_hint(
    aiflow: Aiflow, typed: str, meant: str | None
) -> None:
    said = aiflow(*typed.split(), code=2).err
    assert f"No such command {typed.split()[1]!r}." in said
    assert (f"Did you mean '{meant}'?" in said) is (meant is not None)


@pytest.mark.parametrize(
    ("typed", "meant"), [("n=2", "-p n=2"), ("--n 2", "-p n=2"), ("--n=2", "-p n=2"), ("--n", "-p n=VALUE")]
)
def test_a_parameter_that_is_given_without_its_option_gets_a_hint(aiflow: Aiflow, typed: str, meant: str) -> None:
    said = aiflow("run", "flow.py", *typed.split(), code=2).err
    assert f"Parameters of a workflow are given by -p: {meant}" in said


def test_many_runs_of_a_job_are_one_row_for_people_and_all_for_programs(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "streamed.py").write_text(
        "import aiflow as af\n\n@af.job\ndef items(n):\n    yield from range(n)\n\n"
        "@af.job\ndef square(x):\n    return x * x\n\n"
        "@af.workflow\ndef streamed(n: int = 30):\n    square(items(n))\n"
    )
    rows = [line for line in aiflow("run", "streamed.py").out.splitlines() if line.startswith("square")]
    assert len(rows) == 1
    assert rows[0].startswith("square (30)")
    assert rows[0].endswith("the last of 30 such runs")
    found = json.loads(aiflow("list", "executions", "-o", "json").out)[0]["id"]
    assert aiflow("execution", "show", found).out.count("square") == 1
    assert aiflow("execution", "show", found, "-o", "plain").out.count("square") == 30
    assert len(json.loads(aiflow("execution", "show", found, "-o", "json").out)["jobs"]) == 31
    few = aiflow("run", "streamed.py", "-p", "n=20").out
    assert few.count("square") == 20


HOSTILE = """
import os, sys
import aiflow as af

class Hostile:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (self.canary,)

@af.job
def trap(canary):
    return [Hostile(canary)]

@af.job
def large(canary):
    return [Hostile(canary), b"x" * 20_000]

@af.workflow
def {name}(canary: str):
    trap(canary)
    large(canary)
"""


def test_nothing_is_unpickled_by_looking(aiflow: Aiflow, tmp_path: Path) -> None:
    name, canary = "hostile_" + tmp_path.name.replace("-", "_"), tmp_path / "canary"
    (tmp_path / f"{name}.py").write_text(HOSTILE.format(name=name))
    with af.Project() as project:
        from aiflow.cli.loading import load_workflow

        execution = project.run(load_workflow(f"{name}.py"), canary=str(canary))
    looks = [
        ["list", "executions"], ["list", "jobs"], ["list", "events"], ["list", "workflows"],
        ["execution", "show", execution.id], ["execution", "why", execution.id, "trap"],
        ["db", "check"], ["db", "prune", "--dry-run"],
    ]  # fmt: skip
    for words in looks:
        for form in ([], ["-o", "json"]):
            aiflow(*words, *form)
            assert not canary.exists(), words
    with af.Project() as project:
        found = project.executions.get(execution.id)
        assert repr(found)
        assert repr(found.job("trap"))
        assert found._repr_html_()
        assert not canary.exists()
        found.result("trap")
    assert canary.exists()  # who asks for the value gets what it does


def test_38_what_waits_for_a_version_is_shown_so_and_versions_are_written_short(aiflow: Aiflow) -> None:
    from aiflow.testing import project_for_tests, run_until_idle

    knn = af.Model("knn")

    @af.predict(knn)
    def score(model: int) -> int:
        return model

    @af.train(knn)
    def fit(n: int) -> int:
        return n

    @af.workflow
    def life() -> None:
        fit.options(name="one")(3).after(fit.map([1, 2]))
        score()

    with project_for_tests(".aiflow") as project:
        execution = project.start(life)
        run_until_idle(project)
        shown = {line.split()[0]: line for line in aiflow("execution", "show", execution.id).out.splitlines() if line}
        assert shown["score"].split() == ["score", "QUEUED", "1", "waits", "for", "a", "version", "of", "knn"]
        assert "[knn:1, knn:2]" in shown["fit"]
        assert "knn:3" in shown["one"]
        results = {r["job"]: r for r in json.loads(aiflow("execution", "show", execution.id, "-o", "json").out)["jobs"]}
        assert (results["score"]["status"], results["score"]["label"]) == ("QUEUED", "waits for a version of knn")
        assert "waits for a version of knn" in aiflow("execution", "why", execution.id, "score").out
        execution.stop()
        run_until_idle(project)
        assert "score" not in {j.job for j in execution.jobs}


def test_where_a_home_is_made_is_told_once_unless_the_user_said_where(
    aiflow: Aiflow, sums: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIFLOW_HOME")
    told = f"a new home is made: {tmp_path / '.aiflow'}\n"
    assert aiflow("run", f"{sums}.py").err.startswith(told)
    assert told not in aiflow("run", f"{sums}.py").err
    assert "a new home" not in aiflow("event", "publish", "go", "--home", "where I said").err


def test_the_check_of_a_store_tells_what_takes_how_much_room(aiflow: Aiflow, sums: str) -> None:
    aiflow("run", f"{sums}.py", "-p", "number=20000")
    sizes = {row["part"]: row for row in json.loads(aiflow("db", "check", "-o", "json").out)["sizes"]}
    assert sizes["database: events"]["count"] == 6
    assert sizes["blobs"]["count"] == 1
    assert sizes["blobs"]["bytes"] > 20_000
    database = sum(row["bytes"] for part, row in sizes.items() if part.startswith("database"))
    assert database > 100_000
    assert "WHAT TAKES ROOM" in aiflow("db", "check").out


def test_the_help_of_each_command_has_examples() -> None:
    from tests.test_docs import commands

    assert [name for name, command in commands() if f"$ {name}" not in (command.help or "")] == []


TABLES = """
import aiflow as af, numpy, pandas

@af.job
def frame():
    return pandas.DataFrame({{"length": [1.0] * 150, "species": ["setosa"] * 150}})

@af.job
def large():
    return numpy.zeros((1000, 1000))

@af.job
def numbers():
    return list(range(1000))

@af.workflow
def {name}():
    frame(), large(), numbers()
"""


def test_tables_arrays_and_long_lists_are_shown_by_what_they_are(aiflow: Aiflow, tmp_path: Path) -> None:
    name = "tables_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(TABLES.format(name=name))
    ran = json.loads(aiflow("run", f"{name}.py", "-o", "json").out)
    shown = aiflow("execution", "show", ran["id"]).out
    for text in ("DataFrame 150 × 2 (length, species)", "ndarray (1,000, 1,000) float64"):
        assert text in shown
        assert text in ran["results"].values()
    assert "[0, 1, 2, 3, 4, 5, ...] (1,000 items)" in shown
    with af.Project() as project:
        project._store.writer.execute("UPDATE job_executions SET summary = NULL")  # as an earlier aiflow has left it
    assert "<npy, 8,000,128 bytes>" in aiflow("execution", "show", ran["id"]).out


def test_serve_says_which_folder_is_not_there(aiflow: Aiflow, tmp_path: Path) -> None:
    name = "waits_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(
        "import aiflow as af\n\n@af.job\ndef take(): ...\n\n"
        f"@af.workflow(start_on=af.file('nowhere/*.csv'))\ndef {name}(): take()\n"
    )
    assert f"  {name}: there is no folder {tmp_path}/nowhere" in aiflow("serve", f"{name}.py", "--for", "0").err


def test_serve_says_that_a_folder_stands_where_a_file_is_meant(aiflow: Aiflow, tmp_path: Path) -> None:
    name = "takes_" + tmp_path.name.replace("-", "_")
    (tmp_path / "inbox").mkdir()
    (tmp_path / f"{name}.py").write_text(
        "import aiflow as af\n\n@af.job\ndef take(): ...\n\n"
        f"@af.workflow(start_on=af.file('inbox'))\ndef {name}(): take()\n"
    )
    folder = tmp_path / "inbox"
    said = f"  {name}: {folder} is a folder; for the files in it, write {folder}/*"
    assert said in aiflow("serve", f"{name}.py", "--for", "0").err


OPEN = """
import aiflow as af

@af.job
def load(n): ...

@af.workflow
def hands_on(n: int):
    load(n)

@af.workflow
def counts(n: int):
    "Load often."
    for i in range(n):
        load(i)
"""


def test_show_draws_what_can_be_seen_without_values_and_says_what_is_missing_else(
    aiflow: Aiflow, tmp_path: Path
) -> None:
    file = f"open_{tmp_path.name.replace('-', '_')}.py"
    (tmp_path / file).write_text(OPEN)
    assert aiflow("show", f"{file}:hands_on").out == "hands_on(n: int)\nload\n"
    assert aiflow("show", f"{file}:hands_on", "--svg").out.startswith("<svg")
    said = aiflow("show", f"{file}:counts", code=2)
    assert said.out == "counts(n: int)\nLoad often.\n"
    assert "has no value, so it is no number yet; look at counts.build(n=…), or say -p n=…" in said.err
    assert f"{file}, line 14: for i in range(n):" in said.err
    assert aiflow("show", f"{file}:counts", "--svg", code=2).out == ""
    assert aiflow("show", f"{file}:counts", "-p", "n=2").out.endswith("load\nload_2\n")


def test_executions_are_listed_by_parameters_and_by_when_they_were_begun(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "sums.py").write_text(SUMS.format(name="sums"))
    for number in (2, 4, 4):
        aiflow("run", "sums.py", "-p", f"number={number}")
    found = [json.loads(aiflow("list", "executions", "-o", "json", *more).out) for more in (
        ["-p", "number=4"], ["--param", "number=4.0", "--since", "1h30m"], ["--since", "2000-01-01T00:00"], ["-p", "number=x"], ["--since", "2999-01-01"],
    )]  # fmt: skip
    assert [len(rows) for rows in found] == [2, 2, 3, 0, 0]
    assert (
        "neither a span such as 1h30m nor a time such as" in aiflow("list", "executions", "--since", "soon", code=2).err
    )
