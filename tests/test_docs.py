"""The documents say what is true: their commands run, their links lead somewhere, and they leave nothing out.

Python blocks and docstrings run elsewhere (`conftest.py`, doctest).
"""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests import hatchery
from tests.pages import commands_of, files_of

import aiflow as af
from aiflow.cli.entry import aiflow as command_line
from aiflow.graph.job import OPTIONS
from aiflow.graph.workflow import _OPTIONS
from aiflow.hooks import Hooks
from aiflow.settings import _KNOWN
from aiflow.store.schema import MIGRATIONS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.glob("*.md"),
        *DOCS.glob("adr/*.md"),
        *DOCS.glob("howto/*.md"),
        *ROOT.glob("*/README.md"),
    ]
)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


REFERENCE = text_of(DOCS / "reference.md")


def section(title: str) -> str:
    """Give the part of the reference under a heading."""
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md", "docs/howto/command_line.md"])
def test_the_commands_of_a_page_run(name: str, tmp_path: Path) -> None:
    page = text_of(ROOT / name)
    for file, code in files_of(page).items():
        (tmp_path / file).write_text(code, encoding="utf-8")
    ran = 0
    for line, words, expected in commands_of(page):
        done = run([newest(tmp_path) if word == "ID" else word for word in words], tmp_path)
        assert done.returncode == expected, f"{line}\n{done.stdout}{done.stderr}"
        assert done.stdout.strip() or expected, f"{line} shows nothing"
        ran += 1
    assert ran > 3


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "AIFLOW_HOME": str(folder / ".aiflow"), "COLUMNS": "120"}
    return hatchery.run(["-m", "aiflow", *words], cwd=folder, env=environment, timeout=60)


def newest(folder: Path) -> str:
    return str(json.loads(run(["list", "executions", "-o", "json", "--limit", "1"], folder).stdout)[0]["id"])


# --- nothing is left out ----------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    todo: list[tuple[str, click.Command]] = [("aiflow", command_line)]
    while todo:
        name, command = todo.pop()
        if isinstance(command, click.Group):
            todo += [(f"{name} {part}", one) for part, one in command.commands.items()]
        else:
            found.append((name, command))
    return sorted(found)


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_a_command_and_its_options_are_in_the_reference(name: str, command: click.Command) -> None:
    rows = [line for line in section("Command line").splitlines() if re.match(rf"\| `{name}[ `]", line)]
    assert len(rows) == 1, name
    for option in command.params:
        if isinstance(option, click.Option):
            assert f"`{option.opts[-1]}" in rows[0], option.opts


def test_the_reference_names_no_command_that_is_not_there() -> None:
    known = {name for name, _ in commands()}
    named = re.findall(r"^\| `(aiflow(?: [a-z-]+)+)", section("Command line"), re.MULTILINE)
    assert [name for name in named if name not in known] == []


def every_error() -> list[type]:
    return [one for one in vars(af).values() if inspect.isclass(one) and issubclass(one, BaseException)]


@pytest.mark.parametrize("error", every_error(), ids=lambda one: one.__name__)
def test_an_error_is_in_the_reference(error: type) -> None:
    assert f"`af.{error.__name__}`" in section("Errors") + section("Names")


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_a_job_is_in_the_reference(option: str) -> None:
    assert f"| `{option}` |" in section("Options of a job")


@pytest.mark.parametrize("option", _OPTIONS)
def test_an_option_of_a_workflow_is_in_the_reference(option: str) -> None:
    assert f"`{option}`" in section("Options of a workflow")


@pytest.mark.parametrize("setting", _KNOWN)
def test_a_setting_is_in_the_reference(setting: str) -> None:
    assert f"`{setting}`" in section("Settings")


@pytest.mark.parametrize("hook", [name for name in vars(Hooks) if name.startswith("aiflow_")])
def test_a_hook_is_in_the_reference(hook: str) -> None:
    assert f"`{hook}(" in section("Plugins")


@pytest.mark.parametrize("kind", af.EventType)
def test_a_type_of_events_is_in_the_reference(kind: str) -> None:
    assert f"`{kind}`" in section("Events")


@pytest.mark.parametrize("status", sorted({*af.ExecutionStatus, *af.JobStatus}))
def test_a_status_is_in_the_reference(status: str) -> None:
    assert status in section("Names")


def tables() -> dict[str, list[str]]:
    """Give the columns of each table of a new store."""
    from aiflow.store.connection import sqlite3

    database = sqlite3.connect(":memory:")
    for statements in MIGRATIONS:
        for statement in statements:
            database.execute(statement)
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = {name: [row[1] for row in database.execute(f"PRAGMA table_info({name})")] for name in names}
    database.close()
    return columns


@pytest.mark.parametrize(("table", "columns"), tables().items(), ids=list(tables()))
def test_a_table_and_its_columns_are_in_the_reference(table: str, columns: list[str]) -> None:
    (row,) = [line for line in section("The home").splitlines() if line.startswith(f"| `{table}` |")]
    assert [column for column in columns if f"`{column}`" not in row] == []


# --- messages ---------------------------------------------------------------------------------------------------------


def messages() -> str:
    """Give all texts of the source, with … for what is put into them."""
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"\{\w+\}", "…", node.value))
    return "\n".join(found)


@pytest.mark.parametrize(("page", "most"), [("troubleshooting.md", 30), ("howto/flink_troubleshooting.md", 22)])
def test_each_message_of_the_pages_on_trouble_is_one_of_the_source(page: str, most: int) -> None:
    known = messages()
    told = re.findall(r"^\| `(.+?)`(?: \((?:a label|in the log)\))? \|", text_of(DOCS / page), re.MULTILINE)
    assert len(told) > most
    assert [message for message in told if message not in known] == []


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_page_on_plugins_shows_the_files_of_the_example_as_they_are() -> None:
    pattern = r"<!-- file: (examples/\S+) -->\n(?:<!-- skip: next -->\n)?\n```\w+\n(.*?)^```$"
    shown = dict(re.findall(pattern, text_of(DOCS / "howto/plugins.md"), re.MULTILINE | re.DOTALL))
    assert shown == {name: text_of(ROOT / name) for name in shown}
    there = (ROOT / "examples/plugin").rglob("*")
    assert {ROOT / name for name in shown} == {path for path in there if path.suffix in (".py", ".toml")}


# --- links and pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not target.startswith(("https://", "#")):
            path, _, anchor = target.partition("#")
            assert (page.parent / path).exists(), target
            if anchor and path.endswith(".md"):
                assert anchor in anchors(page.parent / path), target


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_pictures_are_what_aiflow_draws_today(tmp_path: Path) -> None:
    script = [
        sys.executable,
        DOCS / "make_pictures.py",
        tmp_path / "made",
    ]  # a process of its own: no plugin has come in
    subprocess.run(script, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, timeout=90)
    made, kept = (
        {path.name: text_of(path) for path in folder.iterdir()} for folder in (tmp_path / "made", DOCS / "images")
    )
    assert made.pop("run.svg")
    assert kept.pop("run.svg")  # what is live is different each time
    assert made == kept, "draw them anew: python docs/make_pictures.py"


# --- examples ---------------------------------------------------------------------------------------------------------


def test_the_page_of_examples_lists_each_of_them_with_its_lines_of_code() -> None:
    told = re.findall(
        r"^\| \[(\w+\.py)\]\(\S+\) \|.*\| (\d+) \| [\d,]* ?\|$", text_of(DOCS / "examples.md"), re.MULTILINE
    )
    lines = {
        path.name: sum(1 for line in text_of(path).splitlines() if re.match(r"\s*[^\s#]", line))
        for path in (ROOT / "examples").glob("*.py")
    }
    assert {name: int(count) for name, count in told} == lines
