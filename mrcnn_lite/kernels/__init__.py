"""The operations as GPU kernels, written in Triton.

Each has the arguments and results of the tensor form in `mrcnn_lite.ops`, which calls it instead
for tensors on a GPU.

Every file is in the same order: what one program owns, the kernel with its parameters in groups
(pointers, sizes, compile-time constants), the wrapper that allocates and launches, and the
bytes that move. Coordinates and sums are float32 (float64 for float64 features), whatever the type
of the features; feature maps are read as [B, h, w, C], channels last, without a copy where they are
stored so.

Without a GPU the same kernels run in Triton's interpreter (slowly, one program at a time), which is
how they are tested everywhere: set TRITON_INTERPRET=1 before this package is imported, and call
`register("cpu")`.
"""

from ..ops.backend import register_kernel
from .interpreter import check_interpreter
from .levels import multiscale_roi_align
from .library import roi_align
from .masks import crop_masks, paste_masks
from .matching import best_objects
from .nms import suppress
from .roi_pool import roi_pool

KERNELS = {
    "best_objects": best_objects,
    "crop_masks": crop_masks,
    "multiscale_roi_align": multiscale_roi_align,
    "nms": suppress,
    "paste_masks": paste_masks,
    "roi_align": roi_align,
    "roi_pool": roi_pool,
}


def register(device_type: str) -> None:
    """Let the kernels serve tensors of a device: "cuda", or "cpu" for Triton's interpreter; where
    that does not work, a RuntimeError says why."""
    if device_type == "cpu":
        check_interpreter()
    for operation, function in KERNELS.items():
        register_kernel(operation, device_type, function)


register("cuda")
