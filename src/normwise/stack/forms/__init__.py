"""Operations of many runs, in place of those that torch.vmap would do slowly or not at all.

Each file gives one torch function a stacked form: an autograd function whose `vmap` receives all
runs' tensors, runs first. What is not here is left to torch.vmap.
"""

from normwise.stack.forms.dropout import Masks, PerRun, Site, Streams
from normwise.stack.forms.layout import channels_last
from normwise.stack.forms.mode import DropoutForms, LayoutForms, StackedForms

__all__ = [
    "DropoutForms",
    "LayoutForms",
    "Masks",
    "PerRun",
    "Site",
    "StackedForms",
    "Streams",
    "channels_last",
]
