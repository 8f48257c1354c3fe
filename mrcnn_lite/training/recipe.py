"""From a data set to batches: what the network must know of it, and how images are augmented."""

import json
from collections.abc import Callable, Container, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import torch

from ..config import Config, with_keypoints
from ..datasets import CocoDataset, Shapes, open_dataset
from ..datasets.batches import Batches
from ..datasets.copy_paste import CopyPaste
from ..datasets.keypoint_shapes import KeypointShapes
from ..datasets.transforms import ColourJitter, Compose, RandomDihedral, RandomScaleCrop
from .distributed import rank, world_size
from .fit import Objects, crop_sides, fit
from .prefetch import ToDevice, prefetch
from .run import Batch

DRAWN = {"shapes": Shapes, "keypoint-shapes": KeypointShapes}
TRAIN_SEED, HELD_OUT_SEED = 1, 2  # two seeds of `Shapes` share no image
HELD_OUT_IMAGES = 200
BACKGROUND = 2  # boxes for each of an object; the paper has 3 (§3.1), the lite preset 1
CACHE_BYTES = 512 * 2**20  # images kept decoded: a small set is read thousands of times


def open_data(
    data: str,
    held_out: bool = False,
    indices: Sequence[int] | None = None,
    exclude: Sequence[int] | None = None,
    images: int = HELD_OUT_IMAGES,
    image_folder: str | Path | None = None,
) -> Shapes | CocoDataset:
    """Open what `--data` names.

    Args:
        data: one of `DRAWN`, or the path of a COCO or VIA JSON file or of a folder of label maps.
        held_out: of shapes, the images that training never draws.
        indices, exclude: of files, the images to take or to leave, counted in order of id.
        images: how many held-out shapes.
        image_folder: of files, where the images lie; default: around the annotation file.

    Raises:
        ValueError: something of files given for shapes, or a fault in the file.
    """
    stored = {"indices": indices, "exclude": exclude, "image_folder": image_folder}
    if data not in DRAWN:
        return open_dataset(Path(data), cache_bytes=CACHE_BYTES, **stored)
    if any(value is not None for value in stored.values()):
        raise ValueError(
            "shapes are drawn, not stored: indices, exclude and image_folder (--only, --hold-out, "
            "--images FOLDER) belong to stored images"
        )
    return DRAWN[data](images, HELD_OUT_SEED) if held_out else DRAWN[data](None, TRAIN_SEED)


def fit_config(
    config: Config,
    dataset: Shapes | CocoDataset,
    keep: Container[str] = (),
    tell: Callable[[str], None] = lambda said: None,
) -> Config:
    """Give a config the data's number of classes, a keypoint branch if the data has keypoints,
    and, where images in files are cut into crops, what their objects ask for (see `fit`).

    Args:
        config, dataset: of the training.
        keep: fields that stay as they are: "image.min_size", "training.turns" ...
        tell: called with a sentence for each choice.

    Raises:
        ValueError: there is no object to learn from, or crops do not fit into the images.
    """
    if isinstance(dataset, CocoDataset):
        dataset.require_objects()
    config = config.with_(num_classes=len(dataset.class_names))
    names = getattr(dataset, "keypoint_names", ())
    config = with_keypoints(config, len(names)) if names else config.with_(keypoint=None)
    crops = not isinstance(dataset, Shapes) and config.training.crop_size > 0
    if "image.skip_resize" not in keep:  # crops are cut at the scale at which the network looks
        config = config.with_(image={"skip_resize": crops})
    return fit(more_background(config, keep), Objects.of(dataset), keep, tell) if crops else config


def more_background(config: Config, keep: Container[str] = ()) -> Config:
    """Let the box branch see `BACKGROUND` boxes of the background, or more, for each of an object:
    photographs have more kinds of it than drawn shapes."""
    box = config.box
    if "box.samples" in keep or "box.positive_fraction" in keep:
        return config
    positives = round(box.samples * box.positive_fraction)
    samples = max(box.samples, (1 + BACKGROUND) * positives)
    return config.with_(box={"samples": samples, "positive_fraction": positives / samples})


def digest(dataset: Shapes | CocoDataset) -> str:
    """How many images a data set has, and a digest of their names: another `--data` or `--hold-out`
    has another one. Annotations do not count."""
    names = [type(dataset).__name__]
    if isinstance(dataset, CocoDataset):
        names = [image["file_name"] for image in dataset.images]
    return f"{len(names)}, SHA-256 {sha256(json.dumps(names).encode()).hexdigest()[:8]}"


def images_per_process(config: Config) -> int:
    """Return how many of a step's images each process takes; an uneven share is a ValueError."""
    images, processes = config.training.batch_size, world_size()
    if images % processes:
        raise ValueError(
            f"batch_size {images} does not divide by {processes} processes; choose --batch-size or "
            "--workers so that each has the same number of images"
        )
    count, parts = images // processes, config.training.accumulate
    if parts > count:
        raise ValueError(
            f"accumulate {parts} is more than the {count} images of a process; choose fewer parts"
        )
    return count


def tall_images(config: Config, dataset: Shapes | CocoDataset) -> list[bool] | None:
    """Say which images are taller than wide, where batches shall be of one kind: whole images of
    both are trained on, and `config.training.by_orientation` wants it. Else None."""
    tall = [height > width for height, width in getattr(dataset, "sizes", ())]
    wanted = config.training.by_orientation and not config.training.crop_size
    return tall if wanted and len({*tall}) == 2 else None


def training_batches(
    config: Config,
    dataset: Shapes | CocoDataset,
    seed: int,
    ahead_on: torch.device | None = None,
) -> Callable[[int], Iterator[Batch]]:
    """Return a function that gives this process's batches from any step on.

    Shapes are never repeated, so they need no variation; other images are scaled, cropped, turned
    or flipped, given objects of another image, and tinted by chance.

    Args:
        config, dataset: see `fit_config`.
        seed: of the run.
        ahead_on: a device on which threads make the next batches in advance, the same ones. On a
            GPU whole images are flipped there too; crops are cut on the host, which has less to
            send then. (Resizing and normalising are the network's, on its device.)
    """
    training, parts, tall = config.training, [], None
    if not isinstance(dataset, Shapes):
        pairs, tall = getattr(dataset, "flip_pairs", ()), tall_images(config, dataset)
        flip = RandomDihedral(flip_y=False, transpose=False, pairs=pairs)
        parts = [flip]
        if training.crop_size:
            crop = RandomScaleCrop(training.crop_size, crop_sides(config))
            turn = flip if training.turns == "flip" else RandomDihedral(pairs=pairs)
            paste = CopyPaste(dataset, Compose([crop, turn]), training.copy_paste)
            parts = [crop, turn, paste, ColourJitter()]
    if ahead_on is not None:
        parts.insert(len(parts) if training.crop_size else 0, ToDevice(ahead_on))
    transform = Compose(parts) if parts else None
    count = images_per_process(config)

    def batches(start: int) -> Iterator[Batch]:
        made = Batches(dataset, count, seed, transform, rank(), world_size(), tall)
        return made.steps(start) if ahead_on is None else prefetch(made, start, ahead_on)

    return batches
