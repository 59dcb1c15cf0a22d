"""MOD101: scores of a network in training mode."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Passes
from normwise.rules.finding import Finding
from normwise.rules.modes import by_entry, differs_by_mode, takers
from normwise.rules.rule import Rule


@dataclass(frozen=True)
class ScoringInTrainMode(Rule):
    """The network is scored in training mode, with dropout on or with batch statistics.

    What it does:
        Looks for passes in training mode without gradients, after the first step, of a network
        with dropout or running statistics that is never run in evaluation mode. Passes within
        each training step, as a generator makes them for its discriminator, passes that are
        computed again by checkpointing, and many passes of one batch, as in MC dropout, are not
        reported; nor is what ends with passes in evaluation mode, as a recalibration does. It is
        only worth knowing where the output would go into another network, which is not run: samples
        of a generator are often drawn in training mode on purpose.

    Why it is bad:
        The scores are those of a network with dropout, or depend on which samples share a batch;
        and every pass moves the running statistics towards the data that it is scored on.

    Example:
        A validation loop under `torch.no_grad()` without `model.eval()`.

    Fix:
        Call `model.eval()` before scoring and `model.train()` after it.

    References:
        PyTorch documentation: Autograd mechanics, "Evaluation Mode (nn.Module.eval())".

    Attributes:
        runs: the most runs of such passes per step that can be scoring.
    """

    code = "MOD101"
    name = "scoring-in-train-mode"
    level = "error"
    since = "0.1.0"
    needs = Level.TRAINING

    runs: float = 0.4

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per module that the program calls."""
        for entry, passes in by_entry(evidence).items():
            evaluated = any(not each.training for each in passes)
            if evaluated or not differs_by_mode(evidence, entry):
                continue
            trained = [each for each in passes if each.training and each.gradients]
            for each in passes:
                if not each.gradients and trained and self._scores(each, trained[0]):
                    yield self.finding(
                        entry,
                        f"{each.after_steps} passes without gradients were in training mode, none "
                        "in evaluation mode",
                        "call model.eval() before scoring and model.train() after it",
                        value=float(each.after_steps),
                        threshold=0.0,
                        step=each.steps[0],
                        confidence=0.8,
                        level="info" if _draws_samples(evidence, entry) else self.level,
                    )

    def _scores(self, passes: Passes, training: Passes) -> bool:
        if passes.recomputed or passes.repeated > passes.count / 2:
            return False
        within_steps = passes.runs > max(1, self.runs * training.count)
        return passes.after_steps > 0 and not within_steps


def _draws_samples(evidence: Evidence, entry: str) -> bool:
    """Whether others take a module's output in training, and are not run without gradients."""
    others = takers(evidence, entry)
    unused = {p.entry for p in evidence.passes} - {
        p.entry for p in evidence.passes if not p.gradients
    }
    return bool(others) and others <= unused
