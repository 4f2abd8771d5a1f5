"""One job of each kind: a program, a function in each of the places where functions can run, and an observer.

    aiflow run examples/one_of_each.py
    aiflow run examples/one_of_each.py -p flink=true     # one on Flink, too: pip install 'aiflow[flink]'

What each of them prints is in its log: `aiflow execution logs ID`.
"""

import asyncio
import os

import aiflow as af


@af.job
def function(kind: str) -> int:
    print(f"{kind}: a function in the process {os.getpid()}")
    return os.getpid()


@af.job
async def coroutine() -> None:
    await asyncio.sleep(0.1)
    print("async: many of these can wait at a time")


@af.flink_job
def table(t_env):
    """Build a table with Flink's environment, which comes to it where it runs."""
    print(f"flink: built in the process {os.getpid()}, and carried out on a cluster")
    return t_env.from_elements([(1,), (2,)], ["n"])


def look() -> str:
    """Tell how something fares that aiflow has not launched; its answer is the label of the job."""
    return f"the load is {os.getloadavg()[0]:.1f}"


@af.workflow
def one_of_each(flink: bool = False) -> None:
    ran = [
        af.command("echo program: an echo", name="program"),
        function.options(name="thread")("thread"),
        function.options(name="process", runner="process")("process"),
        function.options(name="inline", runner="inline")("inline"),
        coroutine.options(name="async")(),
    ]
    if flink:
        ran.append(table.options(name="flink")())
    last = af.command("echo all of them have succeeded", name="last").after(*ran)
    af.observe(look, name="observer", interval=1).stop_on(last.finished)  # it would look for ever
