"""`aiflow config show`: what holds, and where it was said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Aiflow = Callable[..., Any]


def test_it_names_the_line_the_variable_the_option_or_the_default(
    aiflow: Aiflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIFLOW_HOME")
    monkeypatch.setenv("AIFLOW_WORKERS", "4")
    (file := tmp_path / "pyproject.toml").write_text('[tool.aiflow]\nname = "fraud"\nlimits = {gpu = 2}\n')
    found = {row["name"]: (row["value"], row["source"]) for row in aiflow("config", "show", "-o", "json").data}
    assert found["home"] == (str(tmp_path / ".aiflow"), f"{file}:1")
    assert found["name"] == ("fraud", f"{file}:2")
    assert found["limits.gpu"] == (2, f"{file}:3")
    assert found["workers"] == (4, "AIFLOW_WORKERS")
    assert found["durability"] == ("normal", "default")
    assert found["keep.days"] == (None, "default")
    assert not (tmp_path / ".aiflow").exists()
    aiflow("event", "publish", "go", "-n", "before")
    said = aiflow("config", "show", "-o", "plain").out
    assert "name\tbefore\tthe home, since it was made\n" in said
    assert "name\tmine\t--namespace\n" in aiflow("config", "show", "-o", "plain", "-n", "mine").out


def test_a_value_that_does_not_fit_exits_with_two_and_names_the_variable(
    aiflow: Aiflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIFLOW_DURABILITY", "some")
    for words in (("config", "show"), ("event", "publish", "go")):
        assert "(AIFLOW_DURABILITY)" in aiflow(*words, code=2).err
    aiflow("version")
