"""Figures and the HTML page. The only home of Matplotlib and of the template."""

from convnet.report import effects, figures, study, tiles
from convnet.report.comparison import comparison_table, percent_ends
from convnet.report.page import Part, Section, write_report
from convnet.report.picture import png, ticks
from convnet.report.tables import csv_text, text_table

__all__ = [
    "Part",
    "Section",
    "comparison_table",
    "csv_text",
    "effects",
    "figures",
    "percent_ends",
    "png",
    "study",
    "text_table",
    "ticks",
    "tiles",
    "write_report",
]
