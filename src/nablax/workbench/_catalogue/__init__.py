"""What can be compared: optimizers, schedules, and how the command line names them."""

from ._names import first_line as first_line
from ._names import nearest as nearest
from ._names import pick as pick
from ._optimizers import DEFAULT_OPTIMIZERS as DEFAULT_OPTIMIZERS
from ._optimizers import OPTIMIZERS as OPTIMIZERS
from ._optimizers import bytes_per_parameter as bytes_per_parameter
from ._optimizers import describe as describe
from ._optimizers import family as family
from ._optimizers import signature as signature
from ._optimizers import state_bytes as state_bytes
from ._rates import geometric as geometric
from ._rates import parse_rates as parse_rates
from ._schedules import SCHEDULES as SCHEDULES
from ._schedules import describe_schedule as describe_schedule
from ._schedules import resolve_name as resolve_name
from ._schedules import shape as shape
from ._schedules import shape_call as shape_call
from ._spec import Spec as Spec
from ._spec import parse as parse
