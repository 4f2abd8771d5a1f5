"""Draws the pictures of the README and the docs, and what notebooks show, by aiflow itself, from executions that really run.

python docs/make_pictures.py [FOLDER]
"""

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

import aiflow as af
from aiflow.graph.picture import Arrow, Box, Picture, Shape
from aiflow.graph.svg import write_svg
from aiflow.testing import simulate

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
TOOK = {"load": 0.4, "clean": 1.2, "fit": 74.0, "score": 2.6, "push": 0.3, "write": 0.1}
"""Seconds that the jobs of a life take."""
SCREEN = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<style>
svg{{max-width:100%;height:auto}}
.{unique_id}-matrix{{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:{char_height}px}}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""A screen for `rich`, whose own one fetches a font from elsewhere."""


def make_pictures() -> dict[str, str]:
    """Run what is to be shown, and give the pictures by the names of their files."""
    with in_a_folder(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        pages = definitions(DOCS / "tutorial.md", until="guard")
        pages["project"].close()
        with af.Project("pictures", home="home") as project:
            iris = project.run(example("iris"), params={"report": Path("report.txt")})
            checked = project.run(pages["checked"], bar=10)
            guard = project.start(pages["guard"])
            project.publish("enough")
            executions = {"iris": iris, "checked": checked, "guard": guard.wait(timeout=10)}
            drawn = {f"{name}.svg": one.graph.to_svg(one.statuses) for name, one in executions.items()}
        measured = definitions(DOCS / "howto" / "metrics.md", until="svg")
        measured["project"].close()
        return {**drawn, "losses.svg": measured["svg"], **concepts(), **online(), **displays()}


def live() -> dict[str, str]:
    """Catch what is shown while something runs; that is a little different each time."""
    with in_a_folder():
        page = (DOCS / "howto" / "command_line.md").read_text()
        Path("flats.py").write_text(re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0])
        return {"run.svg": terminal(100, "run", "flats.py", home="home", until="1 SUCCESS")}


def concepts() -> dict[str, str]:
    """Draw what the page on concepts tells."""
    told = definitions(DOCS / "concepts.md", until="execution")
    told["project"].close()
    graph, statuses = told["cooling"].graph, told["execution"].statuses
    simulate(told["cooling"], seed=0, home="cooling")
    return {
        "cooling.svg": graph.to_svg(),
        "cooled.svg": graph.to_svg(statuses),
        "statuses.svg": moves(
            STATUSES,
            ("not yet", "runs", ""), ("again", "runs", ""), ("runs", "returns", ""), ("runs", "raises Skip", ""),
            ("runs", "raises", ""), ("runs", "waits", "raises, and has retries"), ("waits", "again", ""),
            ("runs", "is told to stop", ""), ("is told to stop", "has stopped", ""),
        ),
        "stages.svg": moves(
            STAGES,
            ("GENERATED", "VALIDATED", "is good"), ("VALIDATED", "DEPLOYED", "is better"),
            ("DEPLOYED", "DEPRECATED", "another is deployed"), ("DEPRECATED", "DEPLOYED", "roll back"),
        ),
        "home.svg": moves(
            {"home": Box(text="home", shape=Shape.DATASET, notes=("log", "metadata", "values"))},
            ("your script", "home", ""), ("a notebook", "home", ""), ("aiflow serve", "home", ""),
            ("aiflow list", "home", ""), ("aiflow serve", "a job on Flink", ""), ("a job on Flink", "home", "publishes"),
        ),
        "log.svg": terminal(120, "list", "events", "--limit", "9", home="cooling"),
    }  # fmt: skip


def online() -> dict[str, str]:
    """Learn while data come in, in virtual time."""
    told = definitions(DOCS / "online.md", until="driving")
    told["project"].close()
    simulate(told["driving"], seed=3, home="online")
    with af.Project(home="online") as project:
        (execution,) = project.executions.list()
        return {
            "driving.svg": told["driving"].graph.to_svg(execution.statuses),
            "minutes_wrong.svg": project.metrics.plot("minutes_wrong").to_svg(width=640, height=240),
        }


STATUSES = {
    text: Box(text=text, shape=Shape.JOB, statuses=((status, 1),))
    for text, status in {
        "not yet": "INIT", "again": "QUEUED", "runs": "RUNNING", "returns": "SUCCESS", "raises": "FAILED", "waits": "RETRYING",
        "raises Skip": "SKIPPED", "is told to stop": "STOPPING", "has stopped": "STOPPED",
    }.items()
}  # fmt: skip
STAGES = {stage: Box(text="knn:1", shape=Shape.MODEL, notes=(stage.lower(),)) for stage in af.Stage}


def moves(known: Mapping[str, Box], *steps: tuple[str, str, str]) -> str:
    """Draw what leads to what."""
    names = list(dict.fromkeys(name for source, target, _ in steps for name in (source, target)))
    boxes = [known.get(name, Box(text=name, shape=Shape.JOB)) for name in names]
    arrows = [Arrow(names.index(a), names.index(b), "data", (label,) if label else ()) for a, b, label in steps]
    return write_svg(Picture(name="moves", title=", ".join(names), boxes=boxes, arrows=arrows, frames=[]))


def terminal(width: int, *words: str, home: str, until: str = "") -> str:
    """Carry out a command in a terminal of so many columns, and draw what it shows there last, or last with `until` in it."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (50, width))
    wishes = ("AIFLOW_", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")  # of whoever draws, or of where the tests run
    environment = {name: value for name, value in os.environ.items() if not name.startswith(wishes)}
    environment |= {"AIFLOW_HOME": home, "TERM": "xterm-256color", "TZ": "UTC"}
    command = [sys.executable, "-m", "aiflow", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        written = b""
        with suppress(OSError):  # that is how a terminal says that the last program has closed it
            while part := os.read(ours, 65536):
                written += part
    os.close(ours)
    # What is live is written again and again: back to its first line, and over it.
    shown = re.split(r"\r(?:\x1b\[2K(?:\x1b\[1A)?)+", written.decode())
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {shlex.join(['aiflow', *words])}", style="bold"))
    console.print(Text.from_ansi([part for part in shown if until in part][-1].replace("\r", "")))
    return console.export_svg(
        title="", theme=DIMMED_MONOKAI, code_format=SCREEN, unique_id=re.sub(r"\W", "_", "_".join(words[:2]))
    )


def displays() -> dict[str, str]:
    """Live the life of a model twice, with ids and times that are the same each time, and show what came of it."""
    traced = definitions(DOCS / "howto" / "lineage.md", until="life")
    traced["project"].close()
    for seed, more in enumerate(("", "3.5,a\n")):
        with open("raw.csv", "a", encoding="utf-8") as file:
            file.write(more)
        simulate(traced["life"], seed=seed, home="simulated", durations=TOOK)
    with af.Project(home="simulated") as project:
        shown = {
            "execution": project.executions.list(limit=1)[0],
            "model": project.models.get("knn"),
            "events": project.events.list(types=["MODEL_*", "METRIC_LOGGED"]),
        }
        first, second = (one.id for one in project.executions.list()[::-1])
        screens = {
            "listed": ("list", "executions"),
            "why": ("execution", "why", second[:4], "push"),
            "versions": ("model", "show", "knn"),
            "came_from": ("lineage", "show", "knn:2"),
            "compared": ("execution", "compare", first[:4], second[:4]),
        }
        cards = {f"{name}.html": one._repr_html_() + "\n" for name, one in shown.items()}
        cards["lineage.svg"] = project.lineage.upstream("page").to_svg()
    return {**cards, **{f"{name}.svg": terminal(100, *words, home="simulated") for name, words in screens.items()}}


@contextmanager
def in_a_folder() -> Iterator[None]:
    """Work in a temporary folder, so that nothing of the runs is left."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="aiflow-pictures-") as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def definitions(page: Path, until: str) -> dict[str, Any]:
    """Run the Python of a page up to the block that defines `until`, and give what it defined."""
    found: dict[str, Any] = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        exec(compile(block, str(page), "exec"), found)
        if until in found:
            return found
    raise LookupError(f"{page} defines no {until}")


def example(name: str) -> Any:
    """Give the workflow of an example; both have the same name."""
    spec = spec_from_file_location(f"pictured_{name}", DOCS.parent / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(exist_ok=True)
    for file, text in (make_pictures() | live()).items():
        (folder / file).write_text(text, encoding="utf-8")
        print("made", folder / file)
