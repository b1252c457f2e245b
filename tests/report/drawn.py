"""What stands in a figure, by what it says and never by its place in a list."""


def panel_of(figure, ylabel):
    (panel,) = (panel for panel in figure.axes if panel.get_ylabel() == ylabel)
    return panel


def titled(figure):
    """Title -> panel, of those that have one; titles may stand in the middle or at the left."""
    found = {panel.get_title() or panel.get_title(loc="left"): panel for panel in figure.axes}
    return {title: panel for title, panel in found.items() if title}


def cells(panel):
    """(row, column) -> the text in that cell of a matrix."""
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in panel.texts}


def ticks_of(axis):
    """Place along an axis -> the name there."""
    places = axis.get_majorticklocs()
    return {round(place): label.get_text() for place, label in zip(places, axis.get_majorticklabels(), strict=True)}


def lines(panel, colour):
    """(x, y) of the lines of one colour, as lists."""
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in panel.lines if line.get_color() == colour]


def legend_colours(legend):
    """What the legend says -> the colour of it."""
    handles = zip(legend.get_texts(), legend.legend_handles, strict=True)
    return {text.get_text(): _colour(handle) for text, handle in handles}


def _colour(handle):
    return handle.get_color() if hasattr(handle, "get_color") else handle.get_facecolor()


def bars(panel):
    """Row -> (left, right) of the horizontal bar about it."""
    return {bar.get_y() + bar.get_height() / 2: (bar.get_x(), bar.get_x() + bar.get_width()) for bar in panel.patches}
