"""The page on Flink says what is true: all of its code runs, in one go, on the cluster of the tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aiflow as af

pytestmark = pytest.mark.flink
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "flink.md"


def test_the_code_of_the_page_on_flink_runs(flink: af.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert len(blocks) == 6
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIFLOW_HOME", str(flink.home))
    names = {"__name__": "__main__"}
    for block in blocks:
        before = text.count("\n", 0, block.start(1))
        exec(compile("\n" * before + block[1], str(PAGE), "exec"), names)
