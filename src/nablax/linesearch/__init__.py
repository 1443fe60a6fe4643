"""Line searches, L-BFGS, and `minimize`, which runs it to the end."""

from nablax.linesearch._backtracking import BacktrackingLinesearchInfo as BacktrackingLinesearchInfo
from nablax.linesearch._backtracking import (
    ScaleByBacktrackingLinesearchState as ScaleByBacktrackingLinesearchState,
)
from nablax.linesearch._backtracking import (
    scale_by_backtracking_linesearch as scale_by_backtracking_linesearch,
)
from nablax.linesearch._lbfgs import ScaleByLBFGSState as ScaleByLBFGSState
from nablax.linesearch._lbfgs import lbfgs as lbfgs
from nablax.linesearch._lbfgs import scale_by_lbfgs as scale_by_lbfgs
from nablax.linesearch._minimize import minimize as minimize
from nablax.linesearch._result import Minimum as Minimum
from nablax.linesearch._result import Stopped as Stopped
from nablax.linesearch._scale_by_zoom import ScaleByZoomLinesearchState as ScaleByZoomLinesearchState
from nablax.linesearch._scale_by_zoom import ZoomLinesearchInfo as ZoomLinesearchInfo
from nablax.linesearch._scale_by_zoom import scale_by_zoom_linesearch as scale_by_zoom_linesearch
from nablax.linesearch._value_and_grad import value_and_grad_from_state as value_and_grad_from_state
