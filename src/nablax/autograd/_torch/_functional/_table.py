"""The one table of torch.nn.functional: every name that is here, with its row."""

from __future__ import annotations

from ..._tensor._torch._rows import Row
from . import _activations, _convolutions, _direct, _distances, _layers, _losses, _norms, _pools

_THEMES = (_activations, _distances, _layers, _convolutions, _pools, _norms, _losses, _direct)
TABLE: dict[str, Row] = {name: row for theme in _THEMES for name, row in theme.TABLE.items()}
