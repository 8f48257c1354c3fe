"""Fixtures that many test files share: one browser and one JupyterLab, a reader's progress."""

import pytest
from browser_tools import browser, lab, lab_page, page  # noqa: F401


@pytest.fixture
def file(monkeypatch, tmp_path):
    """The file of a new reader's progress, which is kept."""
    from mrcnn_lite.lessons.kit import progress  # torch: not before the kernels are prepared

    monkeypatch.setattr(progress, "_remembered", {})
    monkeypatch.setattr(progress, "_complaints", set())
    path = tmp_path / "progress.json"
    monkeypatch.setenv(progress.VARIABLE, str(path))
    return path
