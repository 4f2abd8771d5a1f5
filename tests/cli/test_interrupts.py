"""What a second interrupt does, for sure: it ends the process with its own exit code."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal, threading
from aiflow.cli.interrupts import Interrupts

asked, given_up = threading.Event(), threading.Event()

def abandon(code):
    given_up.set()
    threading.Event().wait(0.05)  # the home is being closed
    os._exit(code)

with Interrupts(lambda: True, asked.set, abandon):
    os.kill(os.getpid(), signal.SIGINT)
    asked.wait()
    while not given_up.wait(0.02):  # signals that come close together are one
        os.kill(os.getpid(), signal.SIGTERM)
    raise RuntimeError("what the main thread finds in a home that is being closed")
"""


def test_the_main_thread_waits_for_the_end_that_a_second_interrupt_brings_whatever_it_comes_to_meanwhile() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (143, "")
