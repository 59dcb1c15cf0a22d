"""The lab: what lectures say about normalization and regularization, tested on this machine."""

from normwise.lab.book import write_book
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.errata import ERRATA, Erratum
from normwise.lab.pages import write_pages
from normwise.lab.registry import all_claims
from normwise.lab.result import Number, Result
from normwise.lab.running import run, run_all
from normwise.lab.verdicts import Verdict, above, below, both, inside, within

__all__ = [
    "ERRATA",
    "Budget",
    "Claim",
    "Erratum",
    "Number",
    "Result",
    "Verdict",
    "above",
    "all_claims",
    "below",
    "both",
    "inside",
    "run",
    "run_all",
    "within",
    "write_book",
    "write_pages",
]
