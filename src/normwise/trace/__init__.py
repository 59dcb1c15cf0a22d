"""Follow one forward pass: which layer feeds which activation, and where a network ends."""

from normwise.trace.branches import Branch, branches
from normwise.trace.call import Call
from normwise.trace.dataflow import trace
from normwise.trace.hooking import hooked
from normwise.trace.records import FUNCTION, Activation, Layer, Norm, Trace
from normwise.trace.undisturbed import undisturbed
from normwise.trace.wrapping import unwrapped

__all__ = [
    "FUNCTION",
    "Activation",
    "Branch",
    "Call",
    "Layer",
    "Norm",
    "Trace",
    "branches",
    "hooked",
    "trace",
    "undisturbed",
    "unwrapped",
]
