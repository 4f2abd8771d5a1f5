"""What jobs print reaches the terminal in whole lines, whoever prints at the same time."""

import io
import sys
import threading
from pathlib import Path

import pytest

import aiflow as af
from aiflow.runners.output import JobLog, _Tee


class Writes(io.StringIO):
    """Remembers what was written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def write(self, text: str) -> int:
        self.parts.append(text)
        return len(text)


def test_lines_of_jobs_that_print_at_the_same_time_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2)

    @af.job
    def speak(word: str) -> None:
        for _ in range(3):
            together.wait(10)
            print(word, end="")
            together.wait(10)
            print()

    @af.workflow
    def speaking() -> None:
        speak("tick")
        speak("tock")

    terminal = Writes()
    monkeypatch.setattr(sys, "stdout", terminal)
    with af.Project("clocks", home=tmp_path / "home") as project:
        execution = project.run(speaking, timeout=60)
        assert sorted(terminal.parts) == 3 * ["tick\n"] + 3 * ["tock\n"]
        assert execution.logs("speak") == "tick\n" * 3


def test_a_line_that_is_not_over_is_seen_when_it_is_flushed_and_at_the_end(tmp_path: Path) -> None:
    terminal, log = Writes(), JobLog(tmp_path / "log")
    log.pass_on(terminal, "50 %")
    assert terminal.parts == []
    log.flush(terminal)
    log.pass_on(terminal, "\r100 %\nd")
    log.pass_on(terminal, "one")
    assert terminal.parts == ["50 %", "\r100 %\n"]
    log.close()
    log.pass_on(terminal, "!")
    assert terminal.parts == ["50 %", "\r100 %\n", "done", "!"]


def test_a_very_long_line_does_not_wait_for_its_end(tmp_path: Path) -> None:
    terminal, log = Writes(), JobLog(tmp_path / "log")
    log.pass_on(terminal, "x" * 9_000)
    assert terminal.parts == ["x" * 9_000]


def test_what_prints_in_the_middle_of_printing_does_not_wait_for_itself(tmp_path: Path) -> None:
    terminal = Writes()

    def path() -> Path:
        """Come along while the log is written, as a finaliser may."""
        log.flush(terminal)
        return tmp_path / "log"

    log = JobLog(path)
    writing = threading.Thread(target=log.write, args=("a line\n",), daemon=True)
    writing.start()
    writing.join(10)
    assert not writing.is_alive()
    log.close()
    assert (tmp_path / "log").read_text() == "a line\n"


def test_letting_go_of_a_stand_in_does_nothing_to_the_stream() -> None:
    class Flushed(Writes):
        def flush(self) -> None:
            self.parts.append("flushed")

    terminal = Flushed()
    tee = _Tee(terminal)
    del tee
    assert (terminal.parts, terminal.closed) == ([], False)
