"""Fixtures that many test files share: one browser and one JupyterLab for all of them."""

from browser_tools import browser, lab, lab_page, page  # noqa: F401
