"""Figures and HTML pages from plain tables; knows neither studies nor networks."""

from normwise.report.figures import save_figures, study_figures
from normwise.report.findings import FindingsTables, TrainingTables
from normwise.report.findings_page import findings_page
from normwise.report.page import study_page
from normwise.report.tables import StudyTables

__all__ = [
    "FindingsTables",
    "StudyTables",
    "TrainingTables",
    "findings_page",
    "save_figures",
    "study_figures",
    "study_page",
]
