"""The package in examples/plugin is installed as any package, and found by its entry point in another process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import aiflow as af

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
FLOW = """
from fractions import Fraction

import aiflow as af


@af.job(runner="device")
def measure(n: int) -> Fraction:
    print("measuring", n)
    return Fraction(1, n)


@af.job(runner="device", allow_failure=True)
def break_it(part: Fraction) -> None:
    raise ValueError(f"{part} is too much")


@af.workflow
def measuring():
    break_it(measure(3))
"""


def python(folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "AIFLOW_DIARY": str(folder / "diary.tsv")}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_installed_plugin_adds_a_runner_a_form_of_values_and_an_observer(tmp_path: Path) -> None:
    pip = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    python(tmp_path, *pip, "--quiet", "--target", "site", str(EXAMPLE))
    (tmp_path / "measuring.py").write_text(FLOW)
    told = json.loads(python(tmp_path, "-m", "aiflow", "run", "measuring.py", "--home", "home", "-o", "json"))
    assert [(job["job"], job["label"]) for job in told["jobs"]] == [
        ("measure", "use 1 of the device"),
        ("break_it", "use 2 of the device"),
    ]
    assert told["jobs"][1]["reason"] == "ValueError: 1/3 is too much"
    assert (tmp_path / "diary.tsv").read_text().splitlines() == [
        "measure\tSUCCESS\tuse 1 of the device",
        "break_it\tFAILED\tuse 2 of the device",
    ]
    with af.Project(home=tmp_path / "home") as project:  # here it is not installed
        execution = project.executions.get(told["id"])
        assert "measuring 3" in execution.logs("measure")
        with pytest.raises(af.StoreError, match="fraction"):
            execution.result("measure")
