"""Where a program's time goes, in ``torch.profiler``'s shape: operators, the kernels that they launch, memory.

>>> import clgrad
>>> from clgrad.profiler import ProfilerActivity, profile, record_function
>>> with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as prof:
...     with record_function("step"):
...         _ = clgrad.ones(1000).exp().tolist()
>>> sorted(row.key for row in prof.key_averages() if row.key in ("step", "aten::exp", "pointwise_exp"))
['aten::exp', 'pointwise_exp', 'step']
"""

from clgrad.profiler.events import FunctionEvent, FunctionEventAvg
from clgrad.profiler.recording import record_function
from clgrad.profiler.schedules import ProfilerAction, ProfilerActivity, kineto_available, schedule, supported_activities
from clgrad.profiler.session import profile, tensorboard_trace_handler
from clgrad.profiler.tables import EventList

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "ProfilerAction", "ProfilerActivity", "kineto_available",
           "profile", "record_function", "schedule", "supported_activities", "tensorboard_trace_handler"]
