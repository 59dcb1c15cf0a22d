"""Follow one forward pass: which layer feeds which activation, and where a network ends."""

from normwise.trace.dataflow import Activation, Layer, Trace, trace
from normwise.trace.undisturbed import undisturbed

__all__ = ["Activation", "Layer", "Trace", "trace", "undisturbed"]
