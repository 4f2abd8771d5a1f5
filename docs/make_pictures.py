"""Draws the pictures of the README and the docs, and what notebooks show, by aiflow itself, from executions that really run.

python docs/make_pictures.py
"""

import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import aiflow as af
from aiflow.testing import simulate

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
TOOK = {"load": 0.4, "clean": 1.2, "fit": 74.0, "score": 2.6, "push": 0.3, "write": 0.1}
"""Seconds that the jobs of a life take."""


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
        return {**drawn, "losses.svg": measured["svg"], **displays()}


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
        cards = {f"{name}.html": one._repr_html_() + "\n" for name, one in shown.items()}
        return {**cards, "lineage.svg": project.lineage.upstream("page").to_svg()}


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
    IMAGES.mkdir(exist_ok=True)
    for file, text in make_pictures().items():
        (IMAGES / file).write_text(text, encoding="utf-8")
        print("made", (IMAGES / file).relative_to(DOCS.parent))
