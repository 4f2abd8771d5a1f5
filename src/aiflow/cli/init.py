"""The command `init`: a small project to begin with, which runs and has a test.

Knows nothing of projects that are there already: it writes into a new or an empty folder only.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import rich_click as click

from aiflow.cli.everywhere import Asked, Command
from aiflow.cli.formats import Lines, write

__all__ = ["init"]

_WORKFLOWS = '''"""What {title} does. Its graph: aiflow show workflows.py"""

import aiflow as af


@af.job
def measure(count: int) -> list[float]:
    """Take some temperatures; here they are made up."""
    return [20 + (7 * n % 5) / 2 for n in range(count)]


@af.job(retries=2)
def average(values: list[float]) -> float:
    return sum(values) / len(values)


@af.job
def check(mean: float, limit: float) -> str:
    print(f"the average is {{mean:.1f}} degrees")
    if mean > limit:
        af.publish("too_warm", mean)
        return "too warm"
    return "fine"


@af.job
def warn() -> str:
    return f"open a window: {{af.current().event.value:.1f}} degrees"


@af.workflow
def {workflow}(count: int = 10, limit: float = 20.5):
    """Take temperatures, and warn if they are too high."""
    check(average(measure(count)), limit)
    warn().start_on(af.event("too_warm").own())
'''

_TESTS = """from workflows import average, {workflow}


def test_a_job_is_a_function():
    assert average([1.0, 2.0, 3.0]) == 2.0


def test_who_is_too_warm_is_warned(aiflow_project):
    execution = aiflow_project.run({workflow}, count=5)
    assert execution.result("check") == "too warm"
    assert execution.result("warn") == "open a window: 21.0 degrees"


def test_who_is_not_is_left_alone(aiflow_project):
    execution = aiflow_project.run({workflow}, limit=30.0)
    assert execution.result("check") == "fine"
    assert execution.job("warn").status == "SKIPPED"
"""

_README = """# {title}

```console
$ aiflow run workflows.py -p limit=22
$ pip install pytest && python -m pytest
```

What was run is recorded in `.aiflow`: `aiflow list executions` shows it, and `aiflow --help` what else there is.
"""

_PYPROJECT = """[project]
name = "{title}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["aiflow"]

[dependency-groups]
test = ["pytest"]

[tool.aiflow] # `aiflow config show` tells what holds, and where it was said
name = "{title}"
# keep = {{ days = 90 }}
# limits = {{ gpu = 1 }}

[tool.pytest.ini_options]
pythonpath = ["."]
"""

_FILES = {
    "pyproject.toml": _PYPROJECT,
    "workflows.py": _WORKFLOWS,
    "test_workflows.py": _TESTS,
    "README.md": _README,
    ".gitignore": ".aiflow/\n.venv/\n__pycache__/\n",
}
_TAKEN = ("af", "average", "check", "measure", "warn", "test", "workflows")


@click.command(cls=Command, examples="init weather\ninit .                               # the folder where I am")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.pass_obj
def init(asked: Asked, folder: Path) -> None:
    """Make a small project in a new or an empty folder: a workflow that runs, and a test that passes."""
    _check_empty(folder)
    title = _title(folder.resolve().name)
    names = {"title": title, "workflow": _identifier(title)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (folder / name).write_text(text.format(**names), encoding="utf-8")
    begin = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    told = [f"{folder} has now {', '.join(_FILES)}", f"try it: {begin}aiflow run workflows.py"]
    write(asked.output, {"folder": str(folder), "files": list(_FILES)}, Lines("\n".join(told)))


def _check_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{folder} is a file; a folder is needed, a new or an empty one")
    there = sorted(path.name for path in folder.iterdir() if path.name != ".git") if folder.exists() else []
    if there:
        shown = ", ".join(there[:3]) + (", …" if len(there) > 3 else "")
        raise click.UsageError(f"{folder} is not empty ({shown}); nothing was written. Name a new or an empty folder")


def _title(name: str) -> str:
    """Give the name of the project that a folder's name suggests."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "project"


def _identifier(title: str) -> str:
    """Give the name of the workflow: one that Python takes, and that nothing else in the file has."""
    name = title.replace("-", "_")
    return f"run_{name}" if not name.isidentifier() or keyword.iskeyword(name) or name in _TAKEN else name
