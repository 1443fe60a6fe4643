"""What optimizers are compared on: the problems that ship, and files of the user's."""

from ._problem import Problem as Problem
from ._shipped import PROBLEMS as PROBLEMS
from ._user import load_problem as load_problem
