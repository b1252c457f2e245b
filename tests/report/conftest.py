"""Pages are looked at in a real browser, where there is one; and pictures of some are not looked at."""

from tests.browser import chromium, visit  # noqa: F401
from tests.pictures import unseen_pictures  # noqa: F401
