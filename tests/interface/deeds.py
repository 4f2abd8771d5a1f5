"""What other processes do for the tests of the interface; each function is called in a fresh interpreter."""

import aiflow as af


@af.job
def waits() -> None:
    print("begun", flush=True)
    af.current().wait_stop(60)


@af.workflow
def service() -> None:
    waits()


def run_service(home: str) -> str:
    """Run until somebody stops it; give how it ended."""
    with af.Project("shop", home=home) as project:
        execution = project.start(service)
        print(f"id {execution.id}", flush=True)
        return str(execution.wait().status)


def lose_service(home: str) -> str:
    """Run until somebody takes the execution over; give what the one who waited was told."""
    with af.Project("shop", home=home) as project:
        execution = project.start(service)
        print(f"id {execution.id}", flush=True)
        try:
            execution.wait()
        except af.OwnershipLost as error:
            return str(error)
        return "nobody took it"
