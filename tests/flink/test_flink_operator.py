"""E21 of the parity list: the programs of a jar, on a cluster that something else has started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from examples import flink_operator as example
from tests.flink.waiting import until

import aiflow as af

pytestmark = pytest.mark.flink

JARS = Path(example.__file__).parent / "jars"


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The jar of the example; built from its source where there is a compiler."""
    if not shutil.which("javac"):
        return str(JARS / "counting.jar")
    folder = tmp_path_factory.mktemp("jars")
    environ = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(["sh", JARS / "build.sh", folder], env=environ, check=True)
    return str(folder / "counting.jar")


def lines(folder: Path) -> list[list[str]]:
    """What a sink of Flink has written for good."""
    return [line.split() for path in folder.rglob("part-*") for line in path.read_text().splitlines()]


def test_a_batch_and_a_stream_of_a_jar_run_on_another_cluster_and_the_stream_goes_on_from_its_savepoint(
    flink, second_cluster, jar, tmp_path
):
    execution = flink.start(example.flink_operator, target=second_cluster.url, jar=jar, folder=tmp_path)
    until(lambda: len(lines(tmp_path / "sums")) > 50)  # what a checkpoint has made good
    execution.stop().wait(240)
    words, first = execution.jobs
    assert (words.status, first.status, execution.status) == ("SUCCESS", "STOPPED", "STOPPED")
    assert words.note["url"] == first.note["url"] == second_cluster.url
    text = re.findall(r"\w+", (JARS / "WordCount.java").read_text())
    assert {word: int(n) for word, n in lines(tmp_path / "words")} == Counter(text)
    so_far = len(lines(tmp_path / "sums"))

    execution.resume()
    until(lambda: len(lines(tmp_path / "sums")) > so_far + 50)
    execution.stop().wait(240)
    second = execution.job("sums")
    assert (second.number, second.status) == (2, "STOPPED")
    assert f"starts from {first.note['savepoints'][0]}" in execution.logs("sums")
    counted = sorted((int(n), int(total)) for n, total in lines(tmp_path / "sums"))
    assert counted == [(n, n * (n + 1) // 2) for n in range(1, len(counted) + 1)]  # none twice, none left out


def test_a_jar_that_cannot_be_run_says_why_in_a_line(flink, second_cluster, jar):
    @af.workflow
    def wrong():
        af.flink_jar("no.jar", name="no_jar", target=second_cluster.url)
        af.flink_jar(jar, "Nowhere", name="no_class", target=second_cluster.url)
        af.flink_jar(jar, "WordCount", name="no_arguments", target=second_cluster.url)

    execution = flink.run(wrong, check=False, timeout=90)
    said = {job.job: str(job.error) for job in execution.jobs}
    assert "no.jar cannot be read: No such file" in said["no_jar"]
    assert said["no_class"].startswith("FlinkError: ")
    assert said["no_class"].endswith("ClassNotFoundException: Nowhere")
    assert "ArrayIndexOutOfBoundsException: Index 0" in said["no_arguments"]  # what main raised
    assert {job.status for job in execution.jobs} == {"FAILED"}
