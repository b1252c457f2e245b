"""Figures and the HTML page. The only home of Matplotlib and of the template."""

from convnet.report import figures, study, tiles
from convnet.report.ablation import ABLATION_HEAD, ablation_cells, differences_figure, remark_lines
from convnet.report.comparison import comparison_table
from convnet.report.page import Page, Part, Picture, Section, write_report
from convnet.report.picture import png, ticks
from convnet.report.tables import csv_text, text_table

__all__ = [
    "ABLATION_HEAD",
    "Page",
    "Part",
    "Picture",
    "Section",
    "ablation_cells",
    "comparison_table",
    "csv_text",
    "differences_figure",
    "figures",
    "png",
    "remark_lines",
    "study",
    "text_table",
    "ticks",
    "tiles",
    "write_report",
]
