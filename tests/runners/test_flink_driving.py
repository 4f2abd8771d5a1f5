"""A driver of Flink that says what nobody understands."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from aiflow.runners.family import Family
from aiflow.runners.flink_driving import DriverProcess
from aiflow.runners.wire import Frame

NONSENSE = f"""#!{sys.executable}
import socket, sys
sys.path[:0] = {[str(Path(sys.modules["aiflow"].__file__ or "").parents[1])]!r}
from aiflow.runners.wire import pack
ours = socket.socket(fileno=int(sys.argv[3]))
ours.sendall(b"".join(pack({{"op": "ready", "problem": None, "python": sys.version_info[:2]}})))
ours.recv(1)
ours.sendall(b"".join(pack({{"nonsense": 1}})))
ours.recv(1 << 20)
ours.recv(1 << 20)
"""


def test_a_driver_that_says_nonsense_has_died_for_those_whose_functions_run_in_it(tmp_path: Path) -> None:
    python, told, heard = tmp_path / "python", [], threading.Event()
    python.write_text(NONSENSE)
    python.chmod(0o755)
    family = Family()

    def take(frame: Frame) -> None:
        told.append(frame.head["op"])
        heard.set()

    driver = DriverProcess(str(python), {}, family, tmp_path / "folder")
    driver.submit(("job",), {"op": "call", "key": ["job"]}, b"", take)
    assert heard.wait(30)
    assert told == ["died"]
    assert driver.is_stale
    driver.close()
    family.close()
