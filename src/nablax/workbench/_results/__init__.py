"""What was found: runs summarised and ranked, and the folder that holds them."""

from ._comparison import Comparison as Comparison
from ._comparison import summarise as summarise
from ._folder import RESULTS as RESULTS
from ._folder import Folder as Folder
from ._folder import TakenError as TakenError
from ._folder import missing as missing
from ._settings import Settings as Settings
from ._trial import Curves as Curves
from ._trial import Entry as Entry
from ._trial import Trial as Trial
from ._trial import trials_of as trials_of
