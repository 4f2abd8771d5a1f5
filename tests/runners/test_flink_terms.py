"""What is said to Flink, and what its answers mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiflow.runners.flink_terms import doing, jar_urls

SCHEDULED = {"state": "RUNNING", "vertices": [{"status": "SCHEDULED", "parallelism": 2}]}


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (1, "waits for slots: needs 2, free 1"),
        (None, "waits for slots: needs 2, free ?"),
        (2, "is being deployed"),
        (7, "is being deployed"),
    ],
)
def test_a_job_waits_for_slots_only_while_there_are_too_few(free: int | None, expected: str) -> None:
    assert doing(SCHEDULED, free) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("kafka.jar", ["file:///flows/kafka.jar"]),
        ("../jars/a b.jar", ["file:///jars/a%20b.jar"]),
        ("/opt/kafka.jar; /opt/avro.jar", ["file:///opt/kafka.jar", "file:///opt/avro.jar"]),
        ("file:///opt/kafka.jar", ["file:///opt/kafka.jar"]),
        ("['/opt/kafka.jar', \"avro.jar\"]", ["file:///opt/kafka.jar", "file:///flows/avro.jar"]),
        ("https://host/kafka.jar;hdfs:///avro.jar", ["https://host/kafka.jar", "hdfs:///avro.jar"]),
        ("", []),
    ],
)
def test_jars_may_be_paths_that_begin_in_the_folder_of_the_workflow(said: str, expected: list[str]) -> None:
    assert jar_urls(said, Path("/flows")) == expected
