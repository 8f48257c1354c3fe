"""The switch between loop, tensor form and kernel."""

import sys

import pytest
import torch

import mrcnn_lite
from mrcnn_lite.ops import nms, register_kernel, roi_align, set_backend, use_backend
from mrcnn_lite.ops.backend import _kernels

# `mrcnn_lite.ops.backend` is the function; this is the module that it comes from.
backend = sys.modules["mrcnn_lite.ops.backend"]
FEATURES, ROIS = torch.randn(1, 1, 4, 4), torch.tensor([[0.0, 1, 1, 3, 3]])


@pytest.fixture(autouse=True)
def restore():
    before = dict(_kernels)
    yield
    _kernels.clear()
    _kernels.update(before)
    set_backend("auto")


def pool():
    return roi_align(FEATURES, ROIS, 2, 1.0, 2, aligned=False)


def test_the_choice_is_visible_and_restored():
    assert mrcnn_lite.backend() == "auto"
    with mrcnn_lite.use_backend("reference"):
        assert mrcnn_lite.backend() == "reference"
        with pytest.raises(RuntimeError), use_backend("torch"):
            raise RuntimeError
        assert mrcnn_lite.backend() == "reference"
    mrcnn_lite.set_backend("torch")
    assert mrcnn_lite.backend() == "torch"


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="one of reference, torch, triton, auto, got 'cuda'"):
        set_backend("cuda")


def test_a_kernel_that_is_not_there_is_an_error(monkeypatch):
    _kernels.clear()
    monkeypatch.setattr(backend, "_loaded", True)
    with pytest.raises(ValueError, match="Triton is not installed; use 'auto' or 'torch'"):
        set_backend("triton")
    register_kernel("nms", "cuda", lambda *a: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device is here; use 'auto' or 'torch'"):
        set_backend("triton")
    assert mrcnn_lite.backend() == "auto"
    register_kernel("roi_align", "cpu", lambda *a: None)
    with use_backend("triton"), pytest.raises(ValueError, match="nms has no kernel"):
        nms(ROIS[:, 1:], torch.ones(1), 0.5)


def test_kernels_are_loaded_once_and_only_when_asked_for(monkeypatch):
    calls = []
    monkeypatch.setattr(backend, "_loaded", False)
    monkeypatch.setattr(backend.importlib, "import_module", calls.append)
    pool()
    assert not calls
    for _ in range(2):
        backend.load_kernels()
    assert calls == ["mrcnn_lite.kernels"]


def test_without_triton_there_are_no_kernels(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name="triton")

    monkeypatch.setattr(backend, "_loaded", False)
    monkeypatch.setattr(backend.importlib, "import_module", absent)
    backend.load_kernels()


def test_a_broken_kernel_package_is_no_secret(monkeypatch):
    def broken(name):
        raise ModuleNotFoundError(name="mrcnn_lite.kernels.nothing")

    monkeypatch.setattr(backend, "_loaded", False)
    monkeypatch.setattr(backend.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        backend.load_kernels()


def test_a_registered_kernel_is_used_where_it_may_be():
    seen = []

    def kernel(features, rois, scales, grid):
        seen.append(scales)
        return features[0].new_zeros(len(rois.image), features[0].shape[1], *grid.size)

    expected = pool()
    register_kernel("roi_align", "cpu", kernel)
    for name, used in (("auto", True), ("triton", True), ("torch", False), ("reference", False)):
        seen.clear()
        with use_backend(name):
            out = pool()
        assert bool(seen) == used
        assert torch.equal(out, torch.zeros(1, 1, 2, 2)) == used
        if not used:
            torch.testing.assert_close(out, expected)
    with pytest.raises(ValueError, match="not finite"), use_backend("triton"):
        roi_align(FEATURES, ROIS * float("nan"), 2, 1.0, 2, aligned=False)
