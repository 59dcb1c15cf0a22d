"""Modules that torch.nn lacks."""

from normwise.layers.channels_last import ChannelsLast

__all__ = ["ChannelsLast"]
