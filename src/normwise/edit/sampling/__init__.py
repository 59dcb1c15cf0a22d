"""What `mc_predict` is made of: which modules draw, passes for many samples, their moments."""

from normwise.edit.sampling.moments import Moments
from normwise.edit.sampling.passes import sampling

__all__ = ["Moments", "sampling"]
