"""A trained network as a page that runs it: to be drawn for, and looked into, in a browser."""

from convnet.report.live.export import write_live_page

__all__ = ["write_live_page"]
