"""Figures and HTML pages from plain tables; knows neither studies nor networks."""

from normwise.report.book import BookTables, Chapter, Correction, book_page
from normwise.report.charts import Chart, Dots, Graph, Hills, Lines, chart_plans, hill_rows
from normwise.report.figures import save_figures, save_plans, study_figures
from normwise.report.findings import FindingsTables, TrainingTables
from normwise.report.findings_page import findings_page
from normwise.report.history import HistoryTables, history_charts, history_page
from normwise.report.page import study_page
from normwise.report.tables import StudyTables

__all__ = [
    "BookTables",
    "Chapter",
    "Chart",
    "Correction",
    "Dots",
    "FindingsTables",
    "Graph",
    "Hills",
    "HistoryTables",
    "Lines",
    "StudyTables",
    "TrainingTables",
    "book_page",
    "chart_plans",
    "findings_page",
    "hill_rows",
    "history_charts",
    "history_page",
    "save_figures",
    "save_plans",
    "study_figures",
    "study_page",
]
