"""What a shell is offered when somebody types a tab; asked as the shell's script asks."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

import aiflow as af
from aiflow.cli.completion import VARIABLE, answer_shell
from aiflow.cli.entry import aiflow as cli

Aiflow = Callable[..., Any]


@af.job
def load() -> int:
    return 1


@af.job
def tell(value: int) -> None:
    af.current().log_metric("accuracy", 0.5)


@af.workflow
def telling() -> None:
    tell(load())


def offered(line: str) -> list[str]:
    *words, begun = line.split(" ")
    found = ShellComplete(cli, {}, "aiflow", VARIABLE).get_completions(words, begun)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in found]


@pytest.fixture
def execution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> af.Execution:
    monkeypatch.setenv("AIFLOW_HOME", str(tmp_path / "home"))
    with af.Project() as project:
        project.models.register(af.Model("knn"))
        project.models.register(af.Model("forest"))
        return project.run(telling)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("exe", ["execution"]),
        ("execution re", ["resume"]),
        ("list executions --st", ["--status"]),
        ("list executions --status F", ["FAILED"]),
        ("list jobs -o j", ["json"]),
        ("--home nowhere model show ", []),
        ("run fl", ["<file>"]),
    ],
)
def test_commands_options_and_choices_are_offered(line: str, found: list[str]) -> None:
    assert offered(line) == found


def test_what_is_recorded_is_offered(execution: af.Execution) -> None:
    id_ = execution.id
    assert offered(f"execution show {id_[:2]}") == offered("execution stop ") == [id_]
    assert offered(f"execution why {id_} ") == offered(f"job stop {id_} ") == ["load", "tell"]
    assert sorted(offered("model show ")) == ["forest", "knn"]
    assert offered("model deploy k") == offered("lineage show k") == ["knn"]
    assert offered("metric plot a") == offered("list metrics --name ") == ["accuracy"]
    assert offered("list executions --workflow ") == ["telling"]


def test_behind_a_colon_workflows_of_a_file_and_versions_are_offered(execution: af.Execution) -> None:
    with af.Project() as project:
        project.models.get("knn").log([1])
        project.models.get("knn").log([2])
    assert offered(f"run {__file__}:t") == offered(f"serve {__file__}:") == [f"{__file__}:telling"]
    assert offered("model deploy knn:") == ["knn:2", "knn:1"]
    assert offered("lineage show knn:1") == ["knn:1"]
    assert offered("model deploy oak:") == offered("run nowhere.py:") == []


def test_jobs_of_a_workflow_that_was_run_are_offered_to_who_runs_a_part_of_it(execution: af.Execution) -> None:
    assert offered(f"run {__file__} --only t") == offered(f"run {__file__}:telling --from t") == ["tell"]
    assert offered("run nowhere.py --only ") == []


@pytest.mark.parametrize(
    ("words", "at", "found"),
    [
        ("aiflow model deploy knn :", 4, "plain,1\n"),  # as bash takes it apart
        ("aiflow model deploy knn : 1", 5, "plain,1\n"),
        ("aiflow model deploy knn:", 3, "plain,knn:1\n"),  # for who has told it not to
        ("aiflow model deploy", 3, "plain,forest\nplain,knn\n"),
    ],
)
def test_bash_gets_what_stands_behind_the_colon_at_which_it_takes_words_apart(
    execution: af.Execution,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: str,
    at: int,
    found: str,
) -> None:
    with af.Project() as project:
        project.models.get("knn").log([1])
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(at))
    assert answer_shell(cli, "bash_complete") == 0
    assert capfd.readouterr().out == found


def test_the_script_of_a_shell_is_printed_and_asks_this_program(
    aiflow: Aiflow, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for shell in ("bash", "zsh", "fish"):
        script = aiflow("completion", shell).out
        assert f"{VARIABLE}={shell}_complete" in script
    assert "compdef _aiflow_completion aiflow" in aiflow("completion", "zsh").out
    monkeypatch.setenv("COMP_WORDS", "aiflow list work")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert answer_shell(cli, "bash_complete") == 0
    assert capfd.readouterr().out == "plain,workflows\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_the_script(aiflow: Aiflow) -> None:
    script = aiflow("completion", "bash").out
    done = subprocess.run(
        ["bash", "-c", f"{script}\ncomplete -p aiflow"], capture_output=True, text=True, timeout=30, check=True
    )
    assert "_aiflow_completion" in done.stdout
