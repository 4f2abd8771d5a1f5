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
    """Kill all processes that carry `mark`, also those that they start meanwhile, and see them dead.

    Parameters
    ----------
    mark
        A text that no other process has in its environment.
    patience
        For how long to go on, in seconds.

    Returns
    -------
    list of int
        The pids of those that could not be killed.
    """
    left = members(mark)
    if not left:
        return left
    end = time.monotonic() + patience
    poll = select.poll()
    dying: dict[int, int] = {}  # descriptor of a process -> its pid
    while (left or dying) and time.monotonic() < end:
        for pid in left:
            if pid not in dying.values():
                handle = _kill(pid, mark)
                if handle is not None:
                    dying[handle] = pid
                    poll.register(handle, select.POLLIN)
        for handle, _ in poll.poll(10):  # a dying process shows no environment any more, but it is there still
            poll.unregister(handle)
            os.close(handle)
            del dying[handle]
        left = members(mark)
    for handle in dying:
        os.close(handle)
    return left


def _kill(pid: int, mark: str) -> int | None:
    """Kill one process, looked at once more, for its number may belong to another one by now; give its descriptor."""
    try:
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except OSError:  # it is gone, or the kernel is too old
        handle = None
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            is_marked = mark.encode() in file.read()
        if is_marked and handle is not None:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        elif is_marked:
            os.kill(pid, signal.SIGKILL)
    except OSError:  # it is gone
        pass
    return handle


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
