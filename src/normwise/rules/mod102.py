"""MOD102: training of a network in evaluation mode."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level
from normwise.rules.finding import Finding
from normwise.rules.modes import by_entry, differs_by_mode, drops
from normwise.rules.norming import batch_norms, batches_tracked, lies_within
from normwise.rules.rule import Rule


@dataclass(frozen=True)
class TrainingInEvalMode(Rule):
    """The network is trained in evaluation mode: without dropout, and with statistics that stand.

    What it does:
        Looks for passes in evaluation mode through which gradients go back, over several steps of
        the optimizer during which there is no pass in training mode. Attacks and explanations,
        which take gradients in evaluation mode between the steps or after them, are not reported;
        nor is fine-tuning with pretrained norms in evaluation mode and no dropout.

    Why it is bad:
        Dropout does not regularize, and batch norms use statistics that no longer fit the weights:
        nothing keeps the activations in range.

    Example:
        `model.eval()` for a validation, and no `model.train()` after it; or a pretrained network
        that was loaded in evaluation mode.

    Fix:
        Call `model.train()` at the beginning of each epoch. To hold norms alone, use
        `nw.freeze_norm`.

    References:
        PyTorch documentation: torch.nn.Module.train.

    Attributes:
        steps: how many steps without a pass in training mode are reported.
    """

    code = "MOD102"
    name = "training-in-eval-mode"
    level = "warning"
    since = "0.1.0"
    needs = Level.TRAINING

    steps: int = 3

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per module that the program calls."""
        for entry, passes in by_entry(evidence).items():
            if not differs_by_mode(evidence, entry) or not _learns(evidence, entry):
                continue
            training = [each for each in passes if each.training and each.gradients]
            for each in passes:
                if each.training or not each.backward or each.backward < self.steps:
                    continue
                began = max([each.steps[0], *(other.steps[1] for other in training)])
                if each.steps[1] - began < self.steps or (
                    not training and _is_fine_tuned(evidence, entry)
                ):
                    continue
                yield self.finding(
                    entry,
                    f"from step {began} to {each.steps[1]} it was trained in evaluation mode only",
                    "call model.train() at the beginning of each epoch; to hold norms alone, use "
                    "nw.freeze_norm",
                    value=float(each.steps[1] - began),
                    threshold=float(self.steps),
                    step=began,
                    confidence=0.9,
                )


def _learns(evidence: Evidence, entry: str) -> bool:
    """Whether an optimizer holds any parameter of a module."""
    return any(p.optimizers for p in evidence.parameters.values() if lies_within(p.module, entry))


def _is_fine_tuned(evidence: Evidence, entry: str) -> bool:
    """Whether evaluation mode only holds the statistics of norms, which are of another training."""
    within = [m.module for p, m in evidence.modules.items() if lies_within(p, entry)]
    norms = [m for p, m in batch_norms(evidence).items() if lies_within(p, entry)]
    return not any(map(drops, within)) and all(batches_tracked(norm) > 0 for norm in norms)
