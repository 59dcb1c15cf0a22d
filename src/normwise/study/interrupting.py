"""Ctrl-C that waits for the step that is being taken."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Let a first Ctrl-C only be noted; a second one interrupts as ever.

    An update of the weights that is cut in two would leave a network that nobody trained.

    Yields:
        A function that tells whether Ctrl-C was pressed. Outside the main thread, which gets no
        signals, it never was.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: object) -> None:  # noqa: ARG001
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
