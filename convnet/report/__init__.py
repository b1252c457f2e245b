"""Figures and the HTML page. The only home of Matplotlib and of the template."""

from convnet.report import figures, study, tiles
from convnet.report.figures import differences_figure
from convnet.report.page import Page, Part, Picture, Section, Tile, write_report
from convnet.report.picture import png, ticks
from convnet.report.tables import ABLATION_HEAD, ablation_cells, comparison_table, csv_text, remark_lines, text_table

__all__ = [
    "ABLATION_HEAD",
    "Page",
    "Part",
    "Picture",
    "Section",
    "Tile",
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
