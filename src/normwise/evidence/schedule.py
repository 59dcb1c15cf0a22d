"""Decides which steps are measured, so that measuring stays within its budget."""

import time
from collections import deque
from collections.abc import Callable
from statistics import median

ALLOWANCE = 0.1  # seconds that may be spent at once, so that short trainings are seen well
_ENOUGH = 4  # steps that are not measured before many are measured in a row
_REMEMBERED = 15  # steps whose durations tell how long one takes


class Schedule:
    """Compares the durations of measured and of other steps.

    What a measured step costs is its duration less the median of the steps that were not measured
    nearby; that covers everything, also what the measuring makes slower elsewhere.

    Args:
        budget: share of the time that measuring may take, beyond a tenth of a second.
        every: measure every n-th step, whatever it costs; None keeps to the budget.
        clock: returns seconds.

    Example:
        >>> schedule = Schedule(budget=0.03, every=3)
        >>> [schedule.due(step) for step in range(6)]
        [True, False, False, True, False, False]
    """

    def __init__(
        self,
        budget: float = 0.03,
        every: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._budget = budget
        self._every = every
        self._clock = clock
        self._started = self._last = clock()
        self._plain: deque[float] = deque(maxlen=_REMEMBERED)
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        self._cost = self._spent = 0.0
        self._measured = 0

    def due(self, step: int) -> bool:
        """Whether a step that begins now shall be measured."""
        if self._every is not None:
            return step % self._every == 0
        if self._measured > len(self._plain) and len(self._plain) < _ENOUGH:
            return False  # it is not known yet how long a step takes
        return self._affordable()

    def _affordable(self) -> bool:
        elapsed = self._clock() - self._started
        return self._spent + self._cost <= ALLOWANCE + self._budget * elapsed

    def stepped(self, *, measured: bool) -> None:
        """Note that a step is over."""
        now = self._clock()
        took, self._last = now - self._last, now
        if not measured:
            self._plain.append(took)
            return
        self._measured += 1
        if self._plain:
            cost = max(0.0, took - median(self._plain))
            self._costs.append(cost)
            self._cost = median(self._costs)
            self._spent += cost
