"""DRP101: dropout that makes a batch norm see less variance in evaluation than in training."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Graph, Level, Node
from normwise.rules.dropping import DROPOUTS, rate
from normwise.rules.finding import Finding
from normwise.rules.norming import keeps_statistics, trained_batch_norms
from normwise.rules.nrm104 import distance_from_data
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class DropoutBeforeBatchNorm(Rule):
    """Dropout before a batch norm inflates the variance that the norm learns.

    What it does:
        Divides the variance of each batch norm's input in training by that in evaluation, in the
        median channel, where dropout comes before the norm and no other batch norm in between.
        Dropout that hardly shifts the variance is not reported, nor are norms behind another one
        whose running statistics have not settled yet, which shifts the variance too.

    Why it is bad:
        Dropout keeps the mean but raises the variance. The norm divides by the standard deviation
        of training, so in evaluation, without dropout, its output is too small.

    Example:
        `nn.Sequential(nn.Dropout(0.5), nn.Linear(64, 64), nn.BatchNorm1d(64))`

    Fix:
        Apply dropout behind the last batch norm, lower its p, or call `nw.recalibrate` with
        dropout off once the network is trained.

    References:
        Li et al.: Understanding the Disharmony between Dropout and Batch Normalization by Variance
        Shift (2018).

    Attributes:
        most: the ratio of the variances above which it is reported.
        settled: how far the running statistics of a norm before may be off, as in NRM104.
    """

    code = "DRP101"
    name = "dropout-before-batch-norm"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = 1.5
    settled: float = 0.3

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per norm."""
        graph = evidence.graph
        if graph is None:
            raise NotEnough("the calls of functions could not be seen")
        before = {node.module or "": _before(graph, node) for node in graph.named("batch_norm")}
        norms = trained_batch_norms(evidence)
        behind = {
            p: m for p, m in norms.items() if keeps_statistics(m) and p in before and before[p][0]
        }
        told = {
            path: norm.norm.shift.last
            for path, norm in behind.items()
            if norm.norm is not None and norm.norm.shift.count
            if all(
                distance_from_data(norms[node.module or ""]) <= self.settled
                for node in before[path][1]
                if node.module in norms
            )
        }
        if behind and not told:
            raise NotEnough("no batch norm behind dropout was seen in both modes and settled")
        for path, shift in told.items():
            if shift > self.most:
                nearest = before[path][0][0]
                yield self.finding(
                    path,
                    f"its input varies {shift:.2g} times as much in training as in evaluation: "
                    f"dropout with p={rate(nearest):g} in {nearest.module or 'the loop'} comes "
                    "before it",
                    "apply dropout behind the last batch norm, or lower its p",
                    value=shift,
                    threshold=self.most,
                    confidence=0.9,
                )


def _before(graph: Graph, norm: Node) -> tuple[list[Node], list[Node]]:
    """Return the dropouts before a norm, the nearest first, and the batch norms before it."""
    found: tuple[list[Node], list[Node]] = [], []
    waiting, seen = set(norm.inputs), set[int]()
    while waiting:
        index = max(waiting)
        waiting.remove(index)
        seen.add(index)
        node = graph.nodes[index]
        if node.name == "batch_norm":
            found[1].append(node)
            continue
        if node.name in DROPOUTS and rate(node) > 0:
            found[0].append(node)
        waiting |= set(node.inputs) - seen
    return found
