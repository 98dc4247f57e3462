"""Criteria: how safe it is to stop at an exit, as one number per sample.

One file per idea; a new one registers itself and shows up everywhere once it is imported here.
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
