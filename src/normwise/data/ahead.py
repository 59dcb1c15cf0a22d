"""Work that is done by a thread while its results before are used."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_AHEAD = 2  # results that are there, or in the making, while one is used
Result = TypeVar("Result")


def ahead(tasks: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Yield what each of some functions returns, in turn.

    Args:
        tasks: are called by a thread of their own; more are taken than are needed next.

    Example:
        >>> list(ahead([lambda: 1, lambda: 2]))
        [1, 2]
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for task in tasks:
            waiting.append(thread.submit(task))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
