"""Criteria: confidence scores in [0, 1] by which samples leave at an exit.

One file per kind; a new criterion shows up everywhere once its file is imported here.
"""

# In the order of the menus.
# isort: off
from core.exits.criteria import confidence  # noqa: F401
from core.exits.criteria import answer  # noqa: F401
from core.exits.criteria import patience  # noqa: F401
from core.exits.criteria import exclusion  # noqa: F401
from core.exits.criteria import gate  # noqa: F401

# isort: on
from core.exits.criteria.criterion import CRITERIA, Criterion, available, criterion

__all__ = ["CRITERIA", "Criterion", "available", "criterion"]
