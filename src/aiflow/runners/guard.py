"""A program of its own: waits until the process that started it is dead, and ends what that left running.

Must know nothing of aiflow: it is run by its path, with the standard library only, and stays alive where all else dies.
"""

import os
import select
import signal
import sys
import time

MARK = "AIFLOW_FAMILY"
"""The environment variable that all processes of a family carry, whatever session or group they have moved to."""


def members(mark: str) -> list[int]:
    """Give the processes that carry `mark` in their environment (where there is a /proc), without this one."""
    found: list[int] = []
    wanted = mark.encode()
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return found
    for pid in pids:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read()
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if wanted in environ and pid != os.getpid():
            found.append(pid)
    return found


def sweep(mark: str, patience: float = 2.0) -> list[int]:
    """Kill all processes that carry `mark`, also those that they start meanwhile; give the pids of those that stayed.

    Parameters
    ----------
    mark
        A text that no other process has in its environment.
    patience
        For how long to go on, in seconds.
    """
    end = time.monotonic() + patience
    quiet = 0
    while True:
        left = members(mark)
        quiet = 0 if left else quiet + 1
        if quiet == 2 or time.monotonic() > end:
            return left
        for pid in left:
            _kill(pid, mark)
        if left:
            time.sleep(0.002)


def _kill(pid: int, mark: str) -> None:
    """Kill one process; it is looked at once more, for its number may belong to another one by now."""
    try:
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark.encode() not in file.read():
                    return
            if handle >= 0 and hasattr(signal, "pidfd_send_signal"):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)
        finally:
            if handle >= 0:
                os.close(handle)
    except OSError:  # it is gone
        pass


def wait_for_death(parent: int) -> None:
    """Return when standard input is closed or the process `parent` is dead.

    Both, because a process that the parent has forked holds the other end of standard input, too.
    """
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    try:
        poll.register(os.pidfd_open(parent), select.POLLIN)
        patience = None
    except (AttributeError, OSError):
        patience = 500
    while os.getppid() == parent:
        for descriptor, _ in poll.poll(patience):
            if descriptor != 0 or not os.read(0, 1):
                return


if __name__ == "__main__":
    wait_for_death(int(sys.argv[2]))
    sweep(sys.argv[1])
