"""The runs: every learning rate and seed of one optimizer, by one compiled program."""

from ._budget import Budget as Budget
from ._budget import parse_budget as parse_budget
from ._budget import steps_in as steps_in
from ._program import Program as Program
from ._program import Unsuited as Unsuited
from ._runs import Runs as Runs
from ._runs import smoothed as smoothed
from ._search import SEARCHES as SEARCHES
from ._start import Start as Start
from ._suggest import require_optuna as require_optuna
from ._suggest import suggest as suggest
from ._sweep import sweep as sweep
