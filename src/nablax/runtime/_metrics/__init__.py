"""What a run tells about itself: norms within the state, loggers, and a search for the learning rate."""

from nablax.runtime._metrics._loggers import CSVLogger as CSVLogger
from nablax.runtime._metrics._loggers import JSONLinesLogger as JSONLinesLogger
from nablax.runtime._metrics._loggers import TensorBoardLogger as TensorBoardLogger
from nablax.runtime._metrics._loggers import flat_metrics as flat_metrics
from nablax.runtime._metrics._lr_finder import Found as Found
from nablax.runtime._metrics._lr_finder import lr_finder as lr_finder
from nablax.runtime._metrics._norms import Moved as Moved
from nablax.runtime._metrics._norms import measured as measured
from nablax.runtime._metrics._norms import norms_of as norms_of
from nablax.runtime._metrics._norms import root as root
from nablax.runtime._metrics._with_metrics import MetricsState as MetricsState
from nablax.runtime._metrics._with_metrics import find_metrics as find_metrics
from nablax.runtime._metrics._with_metrics import metrics_of as metrics_of
from nablax.runtime._metrics._with_metrics import ratio as ratio
from nablax.runtime._metrics._with_metrics import with_metrics as with_metrics
