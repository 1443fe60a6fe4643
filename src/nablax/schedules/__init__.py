"""Schedules: functions of the count of updates, from 0, to a value such as a learning rate."""

from ._decay import cosine_decay_schedule as cosine_decay_schedule
from ._decay import exponential_decay as exponential_decay
from ._join import join_schedules as join_schedules
from ._onecycle import cosine_onecycle_schedule as cosine_onecycle_schedule
from ._onecycle import linear_onecycle_schedule as linear_onecycle_schedule
from ._piecewise import piecewise_constant_schedule as piecewise_constant_schedule
from ._piecewise import piecewise_interpolate_schedule as piecewise_interpolate_schedule
from ._polynomial import constant_schedule as constant_schedule
from ._polynomial import linear_schedule as linear_schedule
from ._polynomial import polynomial_schedule as polynomial_schedule
from ._stateful import StatefulSchedule as StatefulSchedule
from ._stateful import WrappedSchedule as WrappedSchedule
from ._stateful import WrappedScheduleState as WrappedScheduleState
from ._warmup import sgdr_schedule as sgdr_schedule
from ._warmup import warmup_constant_schedule as warmup_constant_schedule
from ._warmup import warmup_cosine_decay_schedule as warmup_cosine_decay_schedule
from ._warmup import warmup_exponential_decay_schedule as warmup_exponential_decay_schedule
