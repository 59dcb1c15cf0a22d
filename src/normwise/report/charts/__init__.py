"""Figures of one kind each, made from a plain table: the lab's, and anybody's."""

from normwise.report.charts.chart import Chart, chart_plans
from normwise.report.charts.dots import Dots
from normwise.report.charts.graph import Graph
from normwise.report.charts.hills import Hills, hill_rows
from normwise.report.charts.lines import Lines

__all__ = ["Chart", "Dots", "Graph", "Hills", "Lines", "chart_plans", "hill_rows"]
