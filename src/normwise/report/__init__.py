"""Figures and HTML pages from plain tables; knows neither studies nor networks."""

from normwise.report.figures import save_figures, study_figures
from normwise.report.page import study_page
from normwise.report.tables import StudyTables

__all__ = ["StudyTables", "save_figures", "study_figures", "study_page"]
