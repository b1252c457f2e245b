"""Figures and the HTML page. The only home of Matplotlib and of the template."""

from convnet.report import effects, figures, tiles
from convnet.report.comparison import comparison_table
from convnet.report.page import Section, png, text_table, write_report

__all__ = ["Section", "comparison_table", "effects", "figures", "png", "text_table", "tiles", "write_report"]
