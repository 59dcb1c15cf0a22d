"""The command line: one file per command, no logic of its own."""

from normwise.cli.app import main

__all__ = ["main"]
