"""A runner for a device that bears one user at a time: each job has a thread of its own, and there is one of them."""

import threading

from aiflow.runners.threads import run_here


class DeviceRunner:
    capacity = 1  # aiflow starts no second job before the first has ended, over all executions of this process

    def __init__(self, host):  # host: home, workers, serializers, encode
        self.uses = 0

    def start(self, work, done):
        """Begin, and return at once; `done` is called once, however it ends."""
        self.uses += 1
        threading.Thread(target=self._run, args=(work, done, self.uses), daemon=True).start()

    def _run(self, work, done, use):
        work.context.set_label(f"use {use} of the device")
        done(work, run_here(work))  # calls the function, catches what it raises, leads its output to its log

    def stop(self, work):
        """Ask; a thread cannot be killed. The job sees it as `af.current().stopping`."""
        work.context.stop_event.set()

    def close(self):
        """Free all resources; here the threads go by themselves."""
