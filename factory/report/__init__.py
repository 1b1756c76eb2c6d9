"""What people see: plan, progress and the finished report in terminal, Markdown and HTML."""

from factory.report.display import Display
from factory.report.document import markdown
from factory.report.facts import BuildReport
from factory.report.page import html
from factory.report.plot import loss_plot
from factory.report.scorecard import terminal
from factory.report.tables import plan_table, problems

__all__ = [
    "BuildReport",
    "Display",
    "html",
    "loss_plot",
    "markdown",
    "plan_table",
    "problems",
    "terminal",
]
