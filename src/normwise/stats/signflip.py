"""The paired sign-flip test and the interval that inverts it, from one table of subset means.

Differences of exchangeable runs are symmetric: had treatment and baseline swapped names, every
difference d_i would have changed its sign. So under the hypothesis "the differences are symmetric
around t", every choice of signs s gives T(s) = mean(s_i (d_i - t)) the same chance of being the
one observed, and p(t) is the share of choices with |T(s)| >= |T(1)| (Fisher 1935, The Design of
Experiments, section 21).

Choosing signs is choosing the subset S of the differences to flip, and T(1) - T(S) is
2/n * sum over S of (d_i - t). So T(S) >= T(1) exactly where the mean of d over S is at most t,
and with N subsets, the empty one (no flip) among them, the means m_S of the other N - 1 tell all:

    p(t) = min(1, 2 (1 + min(#{m_S <= t}, #{m_S >= t})) / N)

The interval is all t with p(t) > alpha. With k = floor(alpha N / 2) that asks for at least k means
on either side of t: it runs from the k-th smallest to the k-th largest mean (Hartigan 1969, "Using
subsample values as typical values", JASA 64). For k = 0, which is n < 6 at alpha = 0.05, nothing
bounds it. It covers with probability 1 - 2k/N, or more where differences are tied.

Up to n = 16 the subsets are all 2^n. Beyond, they are 2^16 of them, chosen so that flipping one
after the other is again one of them: on such a group the test is exactly as valid as on all signs
(Hemerik and Goeman 2018, "Exact testing with random permutations", TEST 27), which 2^16 signs
drawn one by one are not.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

EXACT_UP_TO = 16
SEED = 16


@dataclass(frozen=True, eq=False)
class SignFlip:
    """The test's table for one set of differences; p and every interval are read from it.

    Attributes:
        means: the means over all nonempty subsets, ascending, shape (N - 1,).
    """

    means: NDArray[np.float64]

    @classmethod
    def of(cls, treatment: NDArray[np.float64], baseline: NDArray[np.float64]) -> "SignFlip":
        """Return the table for `treatment - baseline`, both of shape (n,).

        Means that are zero but for rounding become zero here, and nowhere else, so that p and the
        interval see the same ties. Rounding of the values, their differences and the sums together
        moves a mean by less than 2 (n + 1) eps times the largest value.

        Example:
            >>> import numpy as np
            >>> SignFlip.of(np.array([0.3, 0.2]), np.array([0.2, 0.3])).means.round(3)
            array([-0.1,  0. ,  0.1])
        """
        differences = treatment - baseline
        means = np.sort(subset_sums(differences) / subset_sizes(len(differences)))
        largest = max(np.abs(treatment).max(), np.abs(baseline).max())
        rounding = 2 * (len(differences) + 1) * np.finfo(np.float64).eps * largest
        means[np.abs(means) <= rounding] = 0.0
        return cls(means)

    @property
    def p(self) -> float:
        """The two-sided p of "the differences are symmetric around zero"."""
        at_most_zero = np.searchsorted(self.means, 0.0, side="right")
        at_least_zero = len(self.means) - np.searchsorted(self.means, 0.0, side="left")
        return min(1.0, 2 * (1 + int(min(at_most_zero, at_least_zero))) / (len(self.means) + 1))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the ends of the closed interval of all centres with p > alpha."""
        k = int(alpha * (len(self.means) + 1) / 2)
        if k == 0:
            return -np.inf, np.inf
        return float(self.means[k - 1]), float(self.means[-k])


def subset_sums(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums over the N - 1 nonempty subsets, in the order of `subset_sizes`.

    Only members are added, nothing is subtracted again: a single difference comes out as it is.
    """
    left, right = halves(len(differences))
    return ((left * np.tile(differences, 2)) @ right).ravel()[1:]


@lru_cache(maxsize=8)
def subset_sizes(n: int) -> NDArray[np.float64]:
    """Return how many of n differences are in each nonempty subset, shape (N - 1,)."""
    return subset_sums(np.ones(n))


@lru_cache(maxsize=8)
def halves(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two factors whose product holds all N subsets, without a table of N x n.

    Every difference has a label, every subset a number below N, and a difference is in a subset
    where label and number share an odd count of bits. Adding numbers bit by bit then composes the
    flips, which makes the subsets a group. With the number split into high and low bits, odd is
    "odd in the high bits and even in the low ones, or the other way round": a product of matrices
    of N^(1/2) x 2n and 2n x N^(1/2).
    """
    label = labels(n)
    bits = min(n, EXACT_UP_TO)
    low_bits = bits // 2
    low = odd_overlap(np.arange(2**low_bits), label)
    high = odd_overlap(np.arange(2 ** (bits - low_bits)) << low_bits, label)
    return np.hstack([high, 1 - high]), np.hstack([1 - low, low]).T


def labels(n: int) -> NDArray[np.int64]:
    """Return a bit pattern for each of n differences.

    The first 16 have a bit of their own, so that no two numbers give the same subset and only 0
    the empty one. The others have an odd number of bits drawn at random, so that the number with
    all bits set flips everything, as the two-sided test needs.
    """
    own = 1 << np.arange(min(n, EXACT_UP_TO))
    if n <= EXACT_UP_TO:
        return own
    every = np.arange(2**EXACT_UP_TO)
    shared = np.setdiff1d(every[odd_overlap(every, every[-1:])[:, 0] == 1], own)
    extra = n - EXACT_UP_TO
    drawn = np.random.default_rng(SEED).choice(shared, extra, replace=extra > len(shared))
    return np.concatenate([own, drawn])


def odd_overlap(numbers: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 1 where a number and a label share an odd count of bits, else 0: (numbers, labels)."""
    shared = numbers[:, None] & label
    for shift in (8, 4, 2, 1):
        shared = shared ^ (shared >> shift)
    return (shared & 1).astype(np.float64)
