"""Runs a user's training script as Python would, and judges the trainings in it."""

import os
import runpy
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from normwise.errors import Problems, suggest
from normwise.evidence import Program, Schedule, Training
from normwise.rules.engine import judge, leave_out
from normwise.rules.finding import Findings
from normwise.rules.html import write_page
from normwise.rules.ranks import gather
from normwise.rules.registry import all_rules
from normwise.rules.selection import Selection, read_selection
from normwise.rules.watch import schedule_problems

_FEW = 32  # measured steps
INTERRUPTED = 130  # 128 and the number of the signal, as shells have it


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a script.

    Attributes:
        findings: of all its trainings, the worst first.
        trainings: what was measured.
        code: the exit code with which the script alone would have ended.
        reports: whether this process speaks for all of a distributed training; the others have told
            it their findings, and hold none.

    Example:
        >>> _ = Path("fail.py").write_text("raise SystemExit(3)")
        >>> run_script("fail.py").code
        3
    """

    findings: Findings
    trainings: tuple[Training, ...]
    code: int
    reports: bool = True

    def to_html(self, path: str | os.PathLike[str], *, title: str) -> Path:
        """Write findings and distributions as an HTML page, which needs no network.

        Raises:
            UsageError: the file cannot be written.
        """
        trainings = [(training.networks, training.evidence) for training in self.trainings]
        return write_page(self.findings, trainings, path, title=title)


def run_script(
    script: str | os.PathLike[str],
    arguments: Sequence[str] = (),
    *,
    budget: float = 0.03,
    every: int | None = None,
    select: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] = (),
    baseline: str | os.PathLike[str] | None = None,
) -> Outcome:
    """Run an unmodified training script as `python script arguments`, and watch what it trains.

    Networks, optimizers, losses and batches are found as the script uses them. However it ends, by
    itself, by `sys.exit`, by Ctrl-C or by an exception (whose traceback is printed), what it has
    trained until then is judged. Under `torchrun` each process runs it, and the first one gets what
    all have found.

    Args:
        script: path of a Python file.
        arguments: what the script finds in `sys.argv[1:]`.
        budget: share of the time that measuring may take, beyond a tenth of a second.
        every: measure every n-th step, whatever that costs; values within networks at the first 16
            of these, and at every second of the later ones.
        select: codes of rules, or beginnings of codes, in a list or joined by commas; all by
            default.
        ignore: likewise; `CODE@PATTERN: REASON` ignores a rule at some places.
        baseline: a file of known findings, see `write_baseline`.

    Raises:
        UsageError: there is no such file, or an option makes no sense; nothing has run then.

    Example:
        >>> lines = '''import sys, torch
        ... net = torch.nn.Linear(4, 1)
        ... optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        ... for _ in range(int(sys.argv[1])):  # no zero_grad
        ...     net(torch.randn(32, 4)).square().mean().backward()
        ...     optimizer.step()
        ... '''
        >>> _ = Path("train.py").write_text(lines)
        >>> outcome = run_script("train.py", ["20"])
        >>> [finding.code for finding in outcome.findings if finding.level == "error"]
        ['OPT103']
    """
    script = Path(script)
    problems = Problems()
    if not script.is_file():
        near = suggest(script.name, (other.name for other in script.parent.glob("*.py")))
        problems.add(f"no such script: {script}{near}")
    problems.add(*schedule_problems(budget, every))
    selection = Selection(())
    with problems.collect():
        selection = read_selection(all_rules(), select, ignore, baseline)
    problems.raise_if_any()
    with Program(lambda: Schedule(budget, every)) as program:
        code = _run(script, arguments)
    trainings = tuple(program.trainings())
    raw = (_judged(training, selection) for training in trainings)
    findings = Findings(notes=(*program.notes(), *_sparsely(trainings))).merged(*raw)
    gathered = gather(findings)
    if gathered is None:
        return Outcome(Findings(), trainings, code, reports=False)
    return Outcome(leave_out(gathered, selection), trainings, code)


def _sparsely(trainings: Sequence[Training]) -> Iterator[str]:
    steps, measured = (
        sum(getattr(training.evidence, name) for training in trainings)
        for name in ("steps", "measured")
    )
    if measured < min(_FEW, steps):
        yield (
            f"{measured} of {steps} steps were measured, to keep to the budget; "
            "--every 1 measures all of them"
        )


def _judged(training: Training, selection: Selection) -> Findings:
    findings = judge(training.evidence, selection)
    places = {finding.where: training.place(finding.where) for finding in findings}
    findings.places = {where: place for where, place in places.items() if place}
    return findings


def _run(script: Path, arguments: Sequence[str]) -> int:
    try:
        with _as_main_program(script, arguments):
            runpy.run_path(str(script.absolute()), run_name="__main__")
    except SystemExit as stop:
        return _exit_code(stop)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:
        own = error.with_traceback(_own_frames(error.__traceback__, script))
        sys.excepthook(type(own), own, own.__traceback__)
        return 1
    return 0


@contextmanager
def _as_main_program(script: Path, arguments: Sequence[str]) -> Iterator[None]:
    argv, path = sys.argv, sys.path.copy()
    sys.argv = [str(script), *arguments]
    sys.path[:] = [str(script.absolute().parent), *path[1:]]
    try:
        with warnings.catch_warnings():
            # Networks are looked for by a global hook, which a compiled one needs only once.
            warnings.filterwarnings("ignore", "Using `torch.compile.*global hooks")
            yield
    finally:
        sys.argv, sys.path[:] = argv, path


def _exit_code(stop: SystemExit) -> int:
    """Return what Python would exit with, and print what it would."""
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    print(stop.code, file=sys.stderr)
    return 1


def _own_frames(trace: TracebackType | None, script: Path) -> TracebackType | None:
    """Return a traceback from the script's own first frame on; None where it never began."""
    while trace is not None and trace.tb_frame.f_code.co_filename != str(script.absolute()):
        trace = trace.tb_next
    return trace
