"""A plugin of aiflow: the hooks. What is behind them is imported when it is asked for."""

from aiflow.hooks import hookimpl


@hookimpl
def aiflow_runners():
    from aiflow_device.runner import DeviceRunner

    return {"device": DeviceRunner}  # @af.job(runner="device")


@hookimpl
def aiflow_serializers():
    from aiflow_device.forms import Fractions

    return [Fractions()]


@hookimpl
def aiflow_job_ended(execution):
    from aiflow_device.diary import write

    write(execution)
