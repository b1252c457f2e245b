"""Pages are looked at in a real browser, where there is one."""

from tests.browser import chromium, visit  # noqa: F401
