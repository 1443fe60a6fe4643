"""States of few bits: what a transformation remembers between steps as codes, a byte or half of one an entry."""

from nablax.runtime._quantized._blocks import Quantized as Quantized
from nablax.runtime._quantized._blocks import is_quantized as is_quantized
from nablax.runtime._quantized._form import Form as Form
from nablax.runtime._quantized._quantize_state import QuantizedState as QuantizedState
from nablax.runtime._quantized._quantize_state import quantize_state as quantize_state
