"""Decides which steps are measured, so that measuring stays within its budget."""

import time
from collections import deque
from collections.abc import Callable
from statistics import median

ALLOWANCE = 0.1  # seconds that may be spent at once, so that short trainings are seen well
_ENOUGH = 4  # steps that are not measured before many are measured in a row
_REMEMBERED = 15  # steps whose durations tell how long one takes


class Schedule:
    """Keeps an account of what watching costs, and measures while something is left on it.

    The budget's share of the time of all steps is paid in, and costs are taken out. The account
    begins with a tenth of a second, and never holds much more. At any step, the time in normwise's
    own code is a cost. At a measured step, so is what makes it longer than the median of those
    nearby that were not measured, which covers what is slower elsewhere. A step begins with its
    first pass: evaluation, loading of data and pauses between steps are not counted.

    Args:
        budget: share of the steps' time that watching may take, beyond a tenth of a second.
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
        self._last = self._stepped = clock()  # when it was last paid, and when a step last ended
        self._began: float | None = None  # when a step did, unless it is over
        self._account = ALLOWANCE
        self._plain: deque[float] = deque(maxlen=_REMEMBERED)
        self._fixed: deque[float] = deque(maxlen=_REMEMBERED)  # costs of steps not measured
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        self._cost = 0.0
        self._measured = 0

    def due(self, step: int) -> bool:
        """Whether a step that begins now shall be measured."""
        if self._every is not None:
            return step % self._every == 0
        if self._measured > len(self._plain) and len(self._plain) < _ENOUGH:
            return False  # it is not known yet how long a step takes
        self._pay(0.0)
        return self._cost <= self._account

    @property
    def overdrawn(self) -> bool:
        """Whether nothing is left, since even steps that are not measured cost too much."""
        if self._every is not None or self._account >= 0 or not self._plain:
            return False
        return median(self._fixed) > self._budget * median(self._plain)

    def begins(self) -> None:
        """Note a pass of a step."""
        if self._began is None:
            self._began = self._last = self._clock()

    def stepped(self, *, measured: bool, own: float = 0.0) -> None:
        """Note that a step is over.

        Args:
            measured: whether it was measured.
            own: seconds since the step before in normwise's own code.
        """
        now = self._clock()
        took = now - (self._stepped if self._began is None else self._began)
        self._stepped, self._began = now, None
        if measured:
            self._measured += 1
            self._pay(self._cost_of(took, own))
        else:
            self._plain.append(took)
            self._fixed.append(own)
            self._pay(own)

    def passed(self, own: float) -> None:
        """Note that measuring has ended without a step; `own` as for `stepped`."""
        self._began = None
        self._pay(own)

    def slept(self, own: float) -> bool:
        """Note a step without any watching, and return whether there is enough for more."""
        self._pay(own)
        return self._account >= ALLOWANCE / 2

    def _cost_of(self, took: float, own: float) -> float:
        """Return what a measured step has cost, and remember it."""
        if not self._plain:
            return 0.0  # the first step is slow anyway, and much is done once only
        cost = max(own, took - median(self._plain) + median(self._fixed))
        self._costs.append(cost)
        self._cost = median(self._costs)
        return cost

    def _pay(self, cost: float) -> None:
        now = self._clock()
        most = max(ALLOWANCE, 2 * self._cost)
        self._account = min(most, self._account + self._budget * (now - self._last)) - cost
        self._last = now
