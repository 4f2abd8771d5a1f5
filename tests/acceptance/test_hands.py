"""What a user sees at the command line: thirty hard cases, with `test_hands_python.py`.

Written from the contract alone, before its author had read the source.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import aiflow as af
from aiflow.cli import main

FLOW = """
import aiflow as af

@af.job
def load() -> list[int]:
    return [1, 2, 3]

@af.job
def fit(rows, k):
    if k == 13:
        raise ValueError("thirteen is unlucky")
    return sum(rows) * k

@af.workflow
def small(k: int = 2):
    fit(load(), k)
"""

ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("AIFLOW", "PYTEST", "COV")) and name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM")
} | {"TERM": "xterm-256color"}


class Shell:
    """The command line, in a folder of its own: in this process where that is the same, else in one of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.home = folder / ".aiflow"
        self.monkeypatch = monkeypatch

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command as another process would, but in this one: that takes a tenth of the time."""
        out, err = io.StringIO(), io.StringIO()
        with self.monkeypatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.chdir(self.folder)
            for name, value in variables.items():
                patch.setenv(name, value)
            code: Any = 0
            try:
                code = main(arguments)
            except SystemExit as exit:
                code = exit.code or 0
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def apart(
        self, *arguments: str, cwd: Path | None = None, without: tuple[str, ...] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in ENVIRONMENT.items() if k not in without} | variables
        return subprocess.run(
            [sys.executable, "-m", "aiflow", *arguments],
            cwd=cwd or self.folder,
            env=environment,
            text=True,
            errors="surrogateescape",
            capture_output=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    @contextlib.contextmanager
    def beside(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "aiflow", *arguments],
            cwd=self.folder,
            env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=20)

    def on_a_terminal(self, *arguments: str, width: int = 100, **variables: str) -> tuple[int, str]:
        """Run the command on a pseudo-terminal; give its exit code and all that it showed."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "aiflow", *arguments],
            cwd=self.folder,
            env=ENVIRONMENT | {"COLUMNS": str(width)} | variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):
            while select.select([ours], [], [], 60)[0] and (part := os.read(ours, 65536)):
                shown += part
        os.close(ours)
        return process.wait(timeout=30), shown.decode()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def project(self) -> af.Project:
        return af.Project(home=self.home)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name in ("AIFLOW_HOME", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "somewhere"
    folder.mkdir()
    (folder / ".aiflow").mkdir()
    return Shell(folder, monkeypatch)


def root() -> click.Command:
    """The command with all that is below it."""
    from aiflow.cli.entry import aiflow

    return aiflow


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name="aiflow")
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*path, name))


# 1
def test_each_command_of_the_contract_is_there_and_its_help_teaches_by_an_example(shell: Shell) -> None:
    wanted = """run|serve|show|init|version|config show|list workflows|list executions|list jobs|list events|list datasets|
        list models|list artifacts|list metrics|list schedules|list triggers|execution show|execution stop|execution resume|
        execution compare|execution logs|execution why|job start|job stop|job restart|event publish|event tail|event count|
        model show|model deploy|model rollback|model delete|metric show|metric compare|metric plot|lineage show|schedule add|
        schedule pause|schedule resume|schedule delete|trigger list|trigger pause|trigger resume|trigger delete|db check|
        db backup|db prune"""
    there = dict(commands(root()))
    missing = [w for w in (" ".join(w.split()) for w in wanted.split("|")) if tuple(w.split()) not in there]
    assert not missing
    silent, wrong = [], []
    for path in there:
        shown = shell(*path, "--help", COLUMNS="200").stdout
        examples = [
            line.strip(" │").removeprefix("$ ") for line in shown.splitlines() if line.strip(" │").startswith("$ ")
        ]
        if not examples:
            silent.append(path)
        for example in examples:
            words = shlex.split(example, comments=True)
            words = words[: next((n for n, word in enumerate(words) if word in (">", "|")), len(words))]
            words = words[next((n for n, word in enumerate(words) if "=" not in word), 0) :]
            if words[0] == "eval":
                words = shlex.split(words[1].strip("$()"))
            if words[0] != "aiflow":
                wrong.append(example)
                continue
            place: Any = root()
            for word in words[1:]:
                if not isinstance(place, click.Group):
                    break
                place = place.get_command(click.Context(place), word)
                if place is None:
                    wrong.append(example)
                    break
    assert not silent
    assert not wrong


# 2
@pytest.mark.parametrize("width", [40, 200])
def test_help_and_tables_fit_the_width_that_they_are_given(shell: Shell, width: int) -> None:
    with shell.project() as project:
        project.models.register(af.Model("a" * 50, description="long " * 30))
    shown = shell("--help", COLUMNS=str(width)).stdout
    assert max(map(len, shown.splitlines())) <= width
    assert "executions" in shown
    assert "rollback" not in shown.split("\n")[0]
    _, table = shell.on_a_terminal("list", "models", width=width)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", table).replace("\r", "")
    assert width == 40 or max(map(len, plain.splitlines())) <= width, (
        "a narrow one wraps what is long, and cuts nothing"
    )
    assert "a" * 50 in plain
    piped = shell.apart("list", "models", "-o", "plain", COLUMNS=str(width)).stdout
    assert "a" * 50 in piped


# 3
def test_the_shell_completes_commands_ids_and_names(shell: Shell) -> None:
    with shell.project() as project:
        with project.track("fit") as experiment:
            experiment.log_metric("accuracy", 0.5)
        project.models.register(af.Model("knn"))
        identity = experiment.execution.id
    script = shell("completion", "bash").stdout

    def complete(*words: str) -> list[str]:
        tool = shell.folder / "aiflow"
        if not tool.exists():
            tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m aiflow "$@"\n')
            tool.chmod(0o755)
        typed = " ".join(map(shlex.quote, words))
        code = f"""{script}
        PATH={shell.folder}:$PATH; COMP_WORDS=(aiflow {typed}); COMP_CWORD={len(words)}
        $(complete -p aiflow | sed 's/.*-F \\([^ ]*\\).*/\\1/') aiflow {shlex.quote(words[-1])} ""
        printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(
            ["bash", "--norc", "-c", code],
            cwd=shell.folder,
            env=ENVIRONMENT,
            text=True,
            capture_output=True,
            timeout=60,
        )
        assert done.stderr in ("", done.stderr if "compopt" in done.stderr else ""), done.stderr
        return done.stdout.split()

    assert "execution" in complete("exec")
    assert identity in complete("execution", "show", "")
    assert any(word.startswith("knn") for word in complete("model", "show", "k"))
    assert "FAILED" in complete("list", "executions", "--status", "")
    zsh = shell("completion", "zsh").stdout
    assert zsh.startswith("#compdef aiflow") or "compdef" in zsh
    assert shell("completion", "tcsh").returncode == 2


# 4
@pytest.mark.parametrize("name", ["my project", "class"])
def test_init_makes_a_project_that_runs_whatever_its_name(shell: Shell, name: str) -> None:
    made = shell("init", name)
    assert made.returncode == 0, made.stderr
    folder = shell.folder / name
    files = sorted(p.name for p in folder.rglob("*") if p.is_file())
    flows = [p for p in folder.glob("*.py") if not p.name.startswith("test")]
    assert len(flows) == 1, files
    ran = shell.apart("run", flows[0].name, "-o", "json", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["status"] == "SUCCESS"
    again = shell("init", name)
    assert again.returncode in (1, 2)
    assert "Traceback" not in again.stderr
    assert name in again.stderr


# 5
def test_a_users_mistake_gets_a_sentence_an_exit_code_and_no_traceback(shell: Shell) -> None:
    shell.write("small.py", FLOW)
    shell.write("two.py", FLOW + "\n@af.workflow\ndef other():\n    load()\n")
    shell.write("none.py", "x = 1\n")
    shell.write("broken.py", "def f():\n    return 1 / 0\n\nf()\n")
    shell.write("syntax.py", "def f(:\n")
    shell.write(
        "cycle.py",
        FLOW + "\n@af.workflow\ndef loop():\n    a = load()\n    b = load()\n    a.after(b)\n    b.after(a)\n",
    )
    cases: list[tuple[list[str], int, list[str]]] = [
        (["run", "missing.py"], 2, ["missing.py"]),
        (["run", "small.py:smal"], 2, ["smal", "small"]),
        (["run", "small.py", "-p", "kk=3"], 2, ["kk", "k"]),
        (["run", "small.py", "-p", "k=three"], 2, ["k", "three", "whole number"]),
        (["run", "small.py", "-p", "k"], 2, ["k", "="]),
        (["run", "two.py"], 2, ["small", "other"]),
        (["run", "none.py"], 2, ["none.py", "workflow"]),
        (["run", "broken.py"], 1, ["broken.py", "ZeroDivisionError", "line 2"]),
        (["run", "syntax.py"], 1, ["syntax.py", "SyntaxError"]),
        (["show", "cycle.py:loop"], 1, ["load", "load_2"]),
        (["run", "small.py", "-p", "k=13"], 1, ["fit", "thirteen is unlucky"]),
        (["run", "small.py", "--only", "fitt"], 2, ["fitt", "fit"]),
        (["run", "."], 2, ["."]),
        (["exection", "show"], 2, ["exection", "execution"]),
        (["list", "executions", "--status", "FALED"], 2, ["FALED", "FAILED"]),
        (["list", "executions", "--limit", "-1"], 2, ["limit"]),
        (["model", "show", "knn"], 2, ["knn"]),
        (["model", "deploy", "knn:two"], 2, ["two"]),
        (["execution", "show", "zzz"], 2, ["zzz"]),
        (["schedule", "add", "small.py", "--cron", "61 * * * *"], 2, ["61"]),
        (["schedule", "add", "small.py", "--cron", "0 0 * * *", "--tz", "Europe/Berlim"], 2, ["Berlim"]),
        (["schedule", "add", "small.py"], 2, ["--cron", "--every"]),
        (["event", "tail", "--since", "yesterday"], 2, ["yesterday"]),
        (["event", "publish", ""], 2, ["key"]),
        (["metric", "show", "loss"], 2, ["loss"]),
    ]
    shell("event", "publish", "makes.the.home")
    faults = []
    for arguments, code, words in cases:
        done = shell(*arguments)
        said = done.stderr
        if done.returncode != code or [w for w in words if w not in said] or (code == 2 and done.stdout):
            faults.append((arguments, done.returncode, said, done.stdout))
        if "Traceback" in said and ("src/aiflow" in said or "site-packages" in said):
            faults.append((arguments, "frames of ours", said, ""))
    assert not faults, "\n\n".join(f"{a} -> {c}\n{e}\n{o}" for a, c, e, o in faults)


# 6
def test_lists_are_arrays_single_things_objects_and_yaml_says_the_same_as_json(shell: Shell) -> None:
    hard = {
        "yes": "no",
        "n": "1e3",
        "null": "null",
        "t": "a: b\n- c",
        "u": "ü✓😀",
        "d": "2026-11-28",
        "e": "",
        "o": "0o7",
        "x": None,
    }
    with shell.project() as project:
        with project.track("fit", k=3, note=" # no comment") as experiment:
            experiment.log_metric("loss", float("nan"))
            experiment.log_metric("loss", float("inf"))
            experiment.log_model({"w": 1}, "knn")
        project.publish("hard", hard)
        project.datasets.register(af.Dataset("iris", uri="iris.csv", format="csv"))
    empty = []
    for noun in [
        "workflows",
        "executions",
        "jobs",
        "events",
        "datasets",
        "models",
        "artifacts",
        "metrics",
        "schedules",
        "triggers",
    ]:
        rows = json.loads(shell("list", noun, "-o", "json").stdout)
        assert isinstance(rows, list), noun
        assert yaml.safe_load(shell("list", noun, "-o", "yaml").stdout) == rows, noun
        empty += [noun] if not rows else []
    assert set(empty) <= {"workflows", "artifacts", "schedules", "triggers"}
    events = json.loads(shell("list", "events", "-o", "json").stdout)
    assert next(e for e in events if e["key"] == "hard")["value"] == hard
    metrics = json.loads(shell("-o", "json", "metric", "show", "loss").stdout, parse_constant=pytest.fail)
    values = [m["value"] for m in (metrics if isinstance(metrics, list) else metrics["values"])]
    assert values[0] == "NaN"
    assert "nf" in values[1]
    execution = json.loads(shell("execution", "show", experiment.execution.id[:6], "--output", "json").stdout)
    assert isinstance(execution, dict)
    assert {"id", "workflow", "params", "context", "status", "provenance", "started", "ended", "jobs"} <= set(execution)
    assert json.loads(shell("event", "count", "-o", "json").stdout) is not None
    before = shell("--home", str(shell.home), "-o", "json", "list", "models").stdout
    assert before == shell("list", "models", "-o", "json", "--home", str(shell.home)).stdout
    assert "knn" in before


# 7
def test_plain_is_a_line_for_a_row_whatever_is_in_it(shell: Shell) -> None:
    with shell.project() as project:
        project.publish("a", "two\nlines\tand a tab")
        project.publish("b", "\x1b[31mred\x1b[0m \x07")
        project.publish("c", "[bold]not markup[/bold] [/]")
    plain = shell("list", "events", "-o", "plain").stdout
    rows = [line.split("\t") for line in plain.splitlines()]
    assert len(rows) == 3
    assert len({len(row) for row in rows}) == 1
    table = shell("list", "events").stdout
    assert "\x1b" not in plain + table
    assert "\x07" not in plain + table
    assert "[bold]not markup[/bold] [/]" in table


# 8
def test_a_pipe_gets_neither_escape_codes_nor_progress_and_a_terminal_gets_both(shell: Shell) -> None:
    shell.write("small.py", FLOW)
    piped = shell.apart("run", "small.py")
    assert piped.returncode == 0
    assert "\x1b" not in piped.stdout + piped.stderr
    assert "\r" not in piped.stdout + piped.stderr
    assert re.search(r"\b12\b", piped.stdout)
    assert not re.search(r"\b12\b", piped.stderr)
    code, shown = shell.on_a_terminal("run", "small.py")
    assert code == 0
    assert "\x1b[" in shown
    assert "fit" in shown
    _, colourless = shell.on_a_terminal("list", "executions", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", colourless)
    _, coloured = shell.on_a_terminal("list", "executions")
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", coloured)
    assert re.search(r"\bnow\b|\bago\b", coloured)


# 9
def test_a_closed_pipe_ends_a_command_without_a_word(shell: Shell) -> None:
    shell.write("small.py", FLOW)
    with shell.project() as project:
        project.publish_many([("k" * 100, n) for n in range(5000)])
    for arguments in ("list events --limit 0", "event tail --since start"):
        line = f"{sys.executable} -m aiflow {arguments} | head -1 > /dev/null; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", line], cwd=shell.folder, env=ENVIRONMENT, text=True, capture_output=True, timeout=60
        )
        if "run" not in arguments:
            assert done.stderr == "", (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr
    closed = f"{sys.executable} -m aiflow list events >&-; {sys.executable} -m aiflow list nonsense 2>&-"
    done = subprocess.run(
        ["bash", "-c", closed], cwd=shell.folder, env=ENVIRONMENT, text=True, capture_output=True, timeout=60
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


# 10
def test_a_terminal_of_ascii_shows_any_name_and_a_surrogate_in_an_argument_is_refused(shell: Shell) -> None:
    shell.write("flöw.py", FLOW.replace("def small", "def schön"))
    old = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    shell("event", "publish", "grün.😀", '"✓"')
    for arguments in (["list", "events"], ["--help"]):
        done = shell.apart(*arguments, **old)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert json.loads(shell.apart("list", "events", "-o", "json", **old).stdout)[0]["key"] == "grün.😀"
    tree = shell.apart("show", "flöw.py", **(old | {"PYTHONUTF8": "1", "PYTHONIOENCODING": "ascii"}))
    assert tree.returncode == 0, tree.stderr
    assert "fit" in tree.stdout
    bad = subprocess.run(
        [sys.executable.encode(), b"-m", b"aiflow", b"event", b"publish", b"k\xff"],
        cwd=shell.folder,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=60,
    )
    assert bad.returncode == 2, bad.stderr
    assert b"Traceback" not in bad.stderr


# 11
def test_a_home_that_is_none_is_refused_with_3_and_a_reader_makes_none(shell: Shell) -> None:
    nowhere = shell.folder / "nowhere"
    nowhere.mkdir()
    for arguments in (
        ["list", "executions"],
        ["event", "count"],
        ["execution", "show", "abc"],
        ["db", "check"],
        ["config", "show"],
    ):
        done = shell("--home", str(nowhere / ".aiflow"), *arguments)
        assert not (nowhere / ".aiflow").exists(), arguments
        assert "Traceback" not in done.stderr
    a_file = shell.write("file", "x")
    foreign = shell.folder / "foreign"
    foreign.mkdir()
    (foreign / "aiflow.db").write_text("no database at all, " * 200)
    newer = shell.folder / "newer"
    with af.Project(home=newer):
        pass
    import sqlite3

    with contextlib.closing(sqlite3.connect(newer / "aiflow.db")) as db:
        db.execute("PRAGMA user_version = 9999")
        db.commit()
    for home, word in ((a_file, "file"), (foreign, "aiflow.db"), (newer, "9999")):
        for arguments in (["list", "executions"], ["event", "publish", "k"], ["db", "check"]):
            done = shell("--home", str(home), *arguments)
            assert done.returncode == 3, (home, arguments, done.returncode, done.stderr)
            assert word in done.stderr
            assert "Traceback" not in done.stderr
    assert (foreign / "aiflow.db").read_text().startswith("no database")


# 12
def test_many_commands_at_once_in_a_new_home_all_succeed(shell: Shell) -> None:
    new = shell.folder / "new"
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "aiflow", "--home", str(new), "event", "publish", f"k{n}", str(n)],
            cwd=shell.folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    ends = [(p.communicate(timeout=60), p.returncode) for p in running]
    assert [code for _, code in ends] == [0] * 4, ends
    assert shell("--home", str(new), "event", "count", "-o", "plain").stdout.strip() == "4"


# 13
def test_an_id_may_be_shortened_while_it_is_unique(shell: Shell) -> None:
    with shell.project() as project:
        made = []
        for _ in range(40):
            with project.track("fit") as experiment:
                pass
            made.append(experiment.execution.id)
    first = {}
    for identity in made:
        first.setdefault(identity[0], []).append(identity)
    several = next(group for group in first.values() if len(group) > 1)
    unclear = shell("execution", "show", several[0][0])
    assert unclear.returncode in (1, 2)
    assert sum(identity in unclear.stderr for identity in several) >= 2
    assert shell("execution", "show", several[0]).returncode == 0
    assert shell("execution", "show", "").returncode in (1, 2)
    assert shell("execution", "show", "%").returncode in (1, 2)


# 14
def test_a_value_is_json_if_it_parses_and_text_otherwise_also_if_it_begins_with_a_dash(shell: Shell) -> None:
    given = ["21.5", "-5", "text", '"21"', "", "null", '{"a": [1, null]}', "-o", "1e400", "NaN", "01"]
    for value in given:
        done = shell("event", "publish", "k", *(["--", value] if value == "-o" else [value]))
        assert done.returncode == 0, (value, done.stderr)
    values = [e["value"] for e in json.loads(shell("list", "events", "-o", "json").stdout)]
    assert values[:8] == [21.5, -5, "text", "21", "", None, {"a": [1, None]}, "-o"]
    assert values[10] == "01"
    shell.write("small.py", FLOW)
    ran = json.loads(shell("run", "small.py", "-p", "k=-3", "-o", "json").stdout)
    assert ran["params"] == {"k": -3}


# 15
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_event_tail_follows_until_it_is_interrupted(shell: Shell, number: signal.Signals, code: int) -> None:
    shell("event", "publish", "before")
    with shell.beside("event", "tail", "--since", "start", "--key", "[ab]*") as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["key"] == "before"
        shell("event", "publish", "c")
        shell("event", "publish", "after", "1")
        assert json.loads(tail.stdout.readline())["key"] == "after"
        tail.send_signal(number)
        out, err = tail.communicate(timeout=20)
        assert (tail.returncode, out) == (code, "")
        assert "Traceback" not in err


# 17
def test_run_resume_goes_on_after_the_file_was_mended_and_says_when_there_is_nothing(shell: Shell) -> None:
    path = shell.write("mend.py", FLOW + "\n    # end\n")
    assert shell("run", "mend.py", "--resume").returncode in (1, 2)
    assert shell("run", "mend.py", "-p", "k=13").returncode == 1
    path.write_text(FLOW.replace("k == 13", "k == 14"))
    done = shell.apart("run", "mend.py", "--resume", "-o", "json")  # another process: this one knows the old file
    assert done.returncode == 0, done.stderr
    execution = json.loads(done.stdout)
    assert execution["status"] == "SUCCESS"
    assert execution["params"] == {"k": 13}
    assert {j["job"]: j["number"] for j in execution["jobs"]}["load"] == 1
    nothing = shell("run", "mend.py", "--resume")
    assert nothing.returncode in (1, 2)
    assert "small" in nothing.stderr
    assert len(json.loads(shell("list", "executions", "-o", "json").stdout)) == 1


# 18
def test_secrets_are_shown_nowhere(shell: Shell) -> None:
    shell.write(
        "secret.py",
        "import aiflow as af\n"
        "@af.job\n"
        "def use(token):\n"
        "    print('used', token)\n"
        "    raise ValueError(f'refused {token}')\n"
        "@af.workflow\n"
        "def secret(password: str, key: str = af.Secret('env:CANARY_KEY'), max_tokens: int = 77): use(key)\n",
    )
    ran = shell.apart("run", "secret.py", "-p", "password=CANARYONE", CANARY_KEY="CANARYTWO")
    assert ran.returncode == 1
    identity = json.loads(shell("list", "executions", "-o", "json").stdout)[0]["id"]
    texts = [ran.stdout, ran.stderr]
    for arguments in (
        ["list", "executions"],
        ["list", "executions", "-o", "json"],
        ["execution", "show", identity],
        ["execution", "show", identity, "-o", "yaml"],
        ["execution", "logs", identity],
        ["execution", "why", identity, "use"],
        ["execution", "compare", identity],
        ["list", "jobs", "-o", "json"],
        ["list", "events", "--limit", "0", "-o", "json"],
    ):
        texts += [shell(*arguments).stdout]
    assert not [text for text in texts if "CANARY" in text.replace("CANARY_KEY", "")]
    assert "77" in shell("execution", "show", identity).stdout
    missing = shell.apart("run", "secret.py", "-p", "password=x", without=("CANARY_KEY",))
    assert missing.returncode in (1, 2)
    assert "CANARY_KEY" in missing.stderr


# 19
def test_the_house_is_kept_check_backup_and_prune(shell: Shell) -> None:
    with shell.project() as project:
        for _n in range(5):
            with project.track("fit") as experiment:
                experiment.log_model(os.urandom(200_000), "knn")
        project.publish_many([("k", n) for n in range(100)])
    assert shell("db", "check").returncode == 0
    would = shell("db", "prune", "--events", "10", "--executions", "1", "--dry-run", "-o", "json")
    assert would.returncode == 0, would.stderr
    assert json.loads(would.stdout)
    assert shell("event", "count", "--key", "k", "-o", "plain").stdout.strip() == "100"
    done = shell("db", "prune", "--events", "10", "--executions", "1")
    assert done.returncode == 0, done
    assert re.search(r"\d+(\.\d+)? ?[kKM]?i?B", done.stdout + done.stderr), done
    assert int(shell("event", "count", "--key", "k", "-o", "plain").stdout) <= 10
    assert len(json.loads(shell("list", "executions", "-o", "json").stdout)) == 1
    assert json.loads(shell("model", "show", "knn", "-o", "json").stdout)
    target = shell.folder / "copy" / "aiflow.db"
    target.parent.mkdir()
    assert shell("db", "backup", str(target)).returncode == 0
    again = shell("db", "backup", str(target))
    assert again.returncode in (1, 2, 3)
    assert str(target) in again.stderr.replace("\n", "")
    assert shell("--home", str(target.parent), "event", "count", "-o", "plain").returncode == 0
    damaged = bytearray(target.read_bytes())
    for place in range(4096 * 2, len(damaged), 4096):
        damaged[place : place + 64] = b"\xa5" * 64
    target.write_bytes(damaged)
    assert shell("--home", str(target.parent), "db", "check").returncode == 3
    wrong = shell("db", "prune", "--blobs", "2 elephants")
    assert wrong.returncode == 2
    assert "elephants" in wrong.stderr


# 20
def test_a_schedule_is_added_listed_paused_resumed_and_deleted_by_name_or_id(shell: Shell) -> None:
    shell.write("small.py", FLOW)
    added = shell("schedule", "add", "small.py:small", "--every", "3600", "--name", "hourly", "-p", "k=5", "-o", "json")
    assert added.returncode == 0, added.stderr
    rows = json.loads(shell("list", "schedules", "-o", "json").stdout)
    assert len(rows) == 1
    assert rows[0]["name"] == "hourly"
    identity = rows[0]["id"]
    for arguments in (["pause", "hourly"], ["pause", identity], ["resume", "hourly"], ["resume", identity]):
        assert shell("schedule", *arguments).returncode == 0, arguments
    close = shell("schedule", "pause", "hourli")
    assert close.returncode in (1, 2)
    assert "hourly" in close.stderr
    assert shell("schedule", "add", "small.py", "--every", "3600", "-p", "kk=5").returncode == 2
    assert shell("schedule", "delete", identity).returncode == 0
    assert json.loads(shell("list", "schedules", "-o", "json").stdout) == []
    assert shell("schedule", "delete", identity).returncode == 2


# 21
def test_a_workflow_is_paused_resumed_and_deleted_and_an_execution_deleted_at_the_command_line(shell: Shell) -> None:
    shell.write("flow.py", FLOW.replace("@af.workflow", "@af.workflow(start_on=af.event('go'))"))
    assert shell("run", "flow.py").returncode == 0
    for verb in ("pause", "resume"):
        done = shell("workflow", verb, "small")
        assert done.returncode == 0, done.stderr
    identity = json.loads(shell("list", "executions", "-o", "json").stdout)[0]["id"]
    assert shell("execution", "delete", identity).returncode == 0
    assert json.loads(shell("list", "executions", "-o", "json").stdout) == []
    assert shell("workflow", "delete", "smal").returncode == 2
    assert shell("workflow", "delete", "small").returncode == 0
    assert json.loads(shell("list", "workflows", "-o", "json").stdout) == []


# 22
def test_each_line_of_the_json_log_is_json_also_of_failures_and_crashes(shell: Shell) -> None:
    shell.write(
        "noisy.py",
        "import aiflow as af, logging, sys, warnings\n"
        "@af.job\n"
        "def talk():\n"
        "    print('a line\\nand another'); print('half', end='')\n"
        "    sys.stderr.write('to stderr\\n'); logging.getLogger('mine').warning('logged %s', {'a': 1})\n"
        "    warnings.warn('careful')\n"
        "    raise RuntimeError('broken\\nin two lines')\n"
        "@af.workflow\n"
        "def noisy(): talk()\n",
    )
    shell.write("broken.py", "import warnings\nwarnings.warn('odd')\nprint('hello')\nraise RuntimeError('at import')\n")
    for arguments in (
        ["run", "noisy.py"],
        ["run", "broken.py"],
        ["run", "no.py"],
        ["lisst"],
        ["run", "noisy.py", "-p", "x=1"],
    ):
        done = shell.apart("--log-format", "json", *arguments)
        assert done.returncode in (1, 2)
        lines = done.stderr.splitlines()
        assert lines, arguments
        for line in lines:
            try:
                assert isinstance(json.loads(line), dict)
            except ValueError:
                pytest.fail(f"{arguments}: {line!r} in\n{done.stderr}")
        if arguments == ["run", "noisy.py"]:
            mine = next(json.loads(line) for line in lines if "logged" in line)
            assert {"execution_id", "job"} <= set(mine), mine


# 23
def test_arguments_beat_the_environment_and_that_beats_the_file(shell: Shell) -> None:
    folder = shell.folder / "configured"
    (folder / "sub").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        "[tool.aiflow]\nhome = 'store'\nworkers = 3\nname = 'fraud'\n[tool.aiflow.keep]\ndays = 9\n"
    )

    def said(*arguments: str, **variables: str) -> dict[str, tuple[Any, str]]:
        done = shell.apart(
            *arguments, "config", "show", "-o", "json", cwd=folder / "sub", without=("AIFLOW_HOME",), **variables
        )
        assert done.returncode == 0, done.stderr
        return {row["name"]: (row["value"], row["source"]) for row in json.loads(done.stdout)}

    file = said()
    assert file["home"][0] == str(folder / "store")
    assert "pyproject.toml" in file["home"][1]
    assert file["workers"][0] == 3
    assert file["name"][0] == "fraud"
    assert file["keep.days"][0] == 9
    variable = said(AIFLOW_HOME=str(folder / "other"), AIFLOW_WORKERS="4")
    assert variable["home"] == (str(folder / "other"), variable["home"][1])
    assert "AIFLOW_HOME" in variable["home"][1]
    assert variable["workers"][0] == 4
    assert "AIFLOW_WORKERS" in variable["workers"][1]
    argument = said("--home", str(folder / "third"), AIFLOW_HOME=str(folder / "other"))
    assert argument["home"][0] == str(folder / "third")
    assert "--home" in argument["home"][1]
    assert not (folder / "store").exists()


# 24
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("worker = 3", ["worker", "workers", "pyproject.toml"]),
        ("workers = 'many'", ["workers", "many", "pyproject.toml"]),
        ("workers = 0", ["workers", "0"]),
        ("workers = true", ["workers"]),
        ("keep = {day = 3}", ["day", "days"]),
        ("keep = {blobs = '2 elephants'}", ["elephants"]),
        ("limits = {gpu = -1}", ["gpu"]),
        ("home = 7", ["home", "7"]),
        ("log_format = 'xml'", ["xml", "json"]),
        ("workers = ", ["pyproject.toml", "line 2"]),
    ],
)
def test_a_misspelt_key_or_a_wrong_value_is_named_with_its_file(shell: Shell, line: str, words: list[str]) -> None:
    shell.write("pyproject.toml", f"[tool.aiflow]\n{line}\n")
    done = shell("list", "executions")
    assert done.returncode == 2, done.stderr
    assert not [word for word in words if word not in done.stderr], done.stderr
    assert "Traceback" not in done.stderr


# 25
def test_serve_on_a_terminal_shows_what_it_starts_and_says_what_it_waits_for(shell: Shell) -> None:
    shell.write("flow.py", FLOW.replace("@af.workflow", "@af.workflow(start_on=af.event('go'))"))
    with shell.project() as project:
        project.events.count()
    with shell.beside("serve", "flow.py") as serve:
        assert serve.stderr is not None
        lines: list[str] = []
        found = threading.Event()

        def read() -> None:
            for line in serve.stderr or ():
                lines.append(line)
                found.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        assert found.wait(30)
        with shell.project() as project:
            project.publish("go", {"k": 4})
            for _ in project.events.follow(since="start", timeout=30):
                if project.executions.list(status="SUCCESS"):
                    break
        serve.send_signal(signal.SIGINT)
        serve.wait(timeout=30)
        reader.join(10)
        assert serve.returncode == 130
        text = "".join(lines)
        assert "small" in text
        assert "Traceback" not in text
        assert "\x1b" not in text


# 26
def test_the_same_clean_word_for_a_folder_that_is_gone_and_a_user_without_a_home(shell: Shell) -> None:
    gone = shell.folder / "gone"
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m aiflow list executions"
    done = subprocess.run(["bash", "-c", line], env=ENVIRONMENT, text=True, capture_output=True, timeout=60)
    assert done.returncode in (1, 2, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    nobody = shell.apart("event", "publish", "k", without=("HOME", "USER", "LOGNAME", "PATH"))
    assert nobody.returncode == 0, nobody.stderr
