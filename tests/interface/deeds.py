"""What other processes do for the tests of the interface; each function is called in a fresh interpreter."""

import sys

import aiflow as af


def say(line: str) -> None:
    """Write a line at once: `print` writes its end by itself, and somebody else's line may come between."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@af.job
def waits() -> None:
    say("begun")
    af.current().wait_stop(60)


@af.workflow
def service() -> None:
    waits()


def run_service(home: str) -> str:
    """Run until somebody stops it; give how it ended."""
    with af.Project("shop", home=home) as project:
        execution = project.start(service)
        say(f"id {execution.id}")
        return str(execution.wait().status)


def lose_service(home: str) -> str:
    """Run until somebody takes the execution over; give what the one who waited was told."""
    with af.Project("shop", home=home) as project:
        execution = project.start(service)
        say(f"id {execution.id}")
        try:
            execution.wait()
        except af.OwnershipLost as error:
            return str(error)
        return "nobody took it"
