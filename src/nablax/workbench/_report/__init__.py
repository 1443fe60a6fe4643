"""What is shown: the table in the terminal, the figures, the page."""

from ._figures import curves as curves
from ._figures import png as png
from ._figures import sensitivity as sensitivity
from ._page import page as page
from ._table import table as table
