"""The operator zoo: one golden table, the libraries it speaks of, its pictures and its explorer."""

import numpy as np
import pytest
import torch
import torchvision
from cases import article_map
from matplotlib.figure import Figure

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.n04_roi_operator_zoo import pictures as draw
from mrcnn_lite.lessons.n04_roi_operator_zoo.explorer import RoIZooState, explore_roi_zoo, smoothed
from mrcnn_lite.lessons.n04_roi_operator_zoo.operators import (
    ZOO,
    centres,
    disjoint_cells,
    edge_to_edge,
    exact_means,
    hat_area,
    overlapping_cells,
)

BOX = torch.tensor([10.0, 10.0, 124.0, 124.0])

# name, ratio, aligned: the four numbers
GOLDEN = {
    ("RoIPool", 2, False): (1.6871, 0.4676, 2.0242, 2.3571),
    ("RoIPool, disjoint", 2, False): (1.6871, 0.4676, 2.0242, 2.3571),
    ("RoIWarp", 1, False): (-1.6091, 0.3037, 0.1991, 0.0457),
    ("RoIWarp", 2, False): (-0.6325, -0.3294, 0.2852, 0.3476),
    ("crop_and_resize", 2, False): (-1.2499, -0.3993, -1.2767, 1.8126),
    ("matterport", 2, False): (-1.2760, -0.9259, 0.0933, 0.1532),
    ("RoIAlignAvg", 2, False): (-0.3586, -0.4543, 0.5922, 0.3712),
    ("max of thirds", 2, False): (-0.0210, 0.1896, 0.6404, 0.2285),
    ("RoIAlign", 1, False): (-0.8546, 0.3236, 0.2177, 0.0546),
    ("RoIAlign", 2, False): (-0.4687, -0.1666, 0.3701, 0.2939),
    ("RoIAlign", 3, False): (-0.4481, -0.1437, 0.3592, 0.2580),
    ("RoIAlign", 4, False): (-0.4687, -0.1666, 0.3701, 0.2939),
    ("RoIAlign", 0, False): (-0.4687, -0.1666, 0.3701, 0.2939),
    ("RoIAlign", 1, True): (-1.2911, -0.4863, 0.7460, 0.2380),
    ("RoIAlign", 2, True): (-1.0440, -0.5110, 0.6351, 0.2380),
    ("RoIAlign, max", 2, False): (0.2820, 0.1739, 0.7372, 0.4663),
    ("exact mean", 2, False): (-0.4485, -0.1743, 0.3667, 0.2940),
    ("exact mean", 2, True): (-0.9796, -0.5291, 0.4541, 0.2517),
}


@pytest.mark.parametrize(("case", "right"), GOLDEN.items(), ids=str)
def test_golden_table(case, right):
    name, ratio, aligned = case
    ours = ZOO[name](article_map()[0], BOX, 2, 1 / 32, ratio, aligned)
    assert ours.shape == (1, 2, 2)
    np.testing.assert_allclose(ours.flatten(), right, atol=6e-5)


def test_the_golden_table_knows_every_operator():
    assert {name for name, _, _ in GOLDEN} == set(ZOO)
    assert len(ZOO) == 10


def some(count: int, seed: int, margin: float = 1.0):
    """Maps of two channels, boxes that may leave them, output sizes and strides."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        h, w, size, power = (
            int(torch.randint(low, high, (), generator=generator))
            for low, high in ((4, 11), (4, 11), (1, 6), (0, 5))
        )
        stride, sides = 2.0**power, torch.tensor([w, h]).float()
        corner = torch.rand(2, generator=generator) * (sides + margin) - margin
        extent = torch.rand(2, generator=generator) * sides + 0.1
        features = torch.randn(2, h, w, generator=generator)
        yield features, torch.cat([corner, corner + extent]) * stride, size, 1 / stride


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
def test_roi_align_is_torchvisions(ratio, aligned):
    for features, box, size, scale in some(60, seed=ratio):
        ours = ZOO["RoIAlign"](features, box, size, scale, ratio, aligned)
        arguments = (features[None], [box[None]], size, scale, ratio, aligned)
        theirs = torchvision.ops.roi_align(*arguments)[0]
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_roi_pool_is_torchvisions():
    for features, box, size, scale in some(120, seed=7):
        theirs = torchvision.ops.roi_pool(features[None], [box[None]], size, scale)[0]
        assert torch.equal(ZOO["RoIPool"](features, box, size, scale), theirs)


# Printed by TensorFlow 2.21's tf.image.crop_and_resize on the article's map, box / 32 normalised by
# h - 1, and in matterport's way; boxes inside the map, beyond its top, beyond its right side.
TENSORFLOW = {
    ("crop_and_resize", (20, -30, 90, 120), 3): (
        *(0.0, 0.0, 0.0, -0.4208, -0.3132, 0.239, -0.7967, 0.9771, 0.2505),
    ),
    ("matterport", (20, -30, 90, 120), 3): (
        *(0.0, 0.0, 0.0, -0.9651, -0.8485, -0.2642, 0.237, 0.2243, 0.2843),
    ),
    ("crop_and_resize", (100, 40, 200, 185), 3): (
        *(0.207, -0.5658, 0.0, 0.1415, -0.1232, 0.0, 0.0, 0.0, 0.0),
    ),
    ("matterport", (100, 40, 200, 185), 3): (
        *(-0.0628, -0.6798, 0.0, 0.1228, 0.0933, 0.0, 1.0239, 0.597, 0.0),
    ),
    ("crop_and_resize", (50, 60, 120, 150), 1): (0.2505,),
    ("matterport", (50, 60, 120, 150), 1): (0.1963,),
}


@pytest.mark.parametrize(("case", "right"), TENSORFLOW.items(), ids=str)
def test_crop_and_resize_is_tensorflows(case, right):
    name, box, size = case
    ours = ZOO[name](article_map()[0], torch.tensor(box).float(), size, 1 / 32)
    np.testing.assert_allclose(ours.flatten(), right, atol=6e-5)


def test_a_smaller_crop_is_roi_align():
    """The correction that tensorpack makes, inside the map."""
    features = article_map()[0]
    step = (BOX[2:] - BOX[:2]) / 4
    crop = torch.cat([BOX[:2] + step / 2, BOX[2:] - step / 2])
    fine = ZOO["crop_and_resize"](features, crop, 4, 1 / 32)
    averaged = torch.nn.functional.avg_pool2d(fine, 2)
    torch.testing.assert_close(averaged, ZOO["RoIAlign"](features, BOX, 2, 1 / 32, 2))


@pytest.mark.parametrize("aligned", [False, True])
def test_the_exact_mean_is_the_limit_of_many_samples(aligned):
    """On the border too, where zeros count: float64, 2000 samples per bin and axis."""
    for features, box, size, scale in some(40, seed=3, margin=2.5):
        features, box = features.double(), box.double()
        exact = ZOO["exact mean"](features, box, size, scale, aligned=aligned)
        fine = ops.roi_align(features[None], [box[None]], size, scale, 2000, aligned)[0]
        assert exact.dtype == torch.float64
        torch.testing.assert_close(exact, fine, atol=2e-3, rtol=0)


def test_exact_means_of_many_boxes():
    features = torch.randn(3, 7, 9, generator=torch.Generator().manual_seed(5))
    boxes = torch.tensor([[0.25, 1.5, 4.0, 3.0], [2.0, 0.0, 8.0, 6.0], [3.3, 2.2, 4.6, 5.9]])
    many = exact_means(features, boxes, 3)
    for box, means in zip(boxes, many):
        torch.testing.assert_close(means, ZOO["exact mean"](features, box, 3, 1.0))


def test_the_exact_mean_by_hand():
    """One row 0 1 0: the tent above 0.5 to 1.5 has mean 3/4, above 0 to 2 it is 1/2."""
    features = torch.tensor([[[0.0, 1.0, 0.0]] * 3])
    for box, mean in (((0.5, 0.5, 1.5, 1.5), 0.75), ((0.0, 0.0, 2.0, 2.0), 0.5)):
        out = ZOO["exact mean"](features, torch.tensor(box), 1, 1.0)
        assert out.item() == pytest.approx(mean)
    assert hat_area(torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [0, 0, 0.5, 1, 1]


def test_ones_show_the_border_rule():
    ones, leaving = torch.ones(1, 6, 6), torch.tensor([180.0, 180.0, 230.0, 230.0])
    for aligned, right in ((False, [0.25, 0, 0, 0]), (True, [1, 0, 0, 0])):
        assert ZOO["RoIAlign"](ones, leaving, 2, 1 / 32, 2, aligned).flatten().tolist() == right
    assert not ZOO["crop_and_resize"](ones, leaving, 2, 1 / 32).any()


def test_windows():
    assert overlapping_cells(0, 5, 2, 1).tolist() == [[0, 3], [2, 5]]
    assert disjoint_cells(0, 5, 2, 1).tolist() == [[0, 3], [3, 5]]
    assert disjoint_cells(2, 9, 3, 1).tolist() == [[2, 5], [5, 7], [7, 9]]
    assert centres(0, 4, 2, 1).flatten().tolist() == [1, 3]
    assert edge_to_edge(0, 4, 2, 1).flatten().tolist() == [0, 4]


def test_every_operator_takes_a_constant_map_to_that_constant():
    features, box = torch.full((3, 8, 9), 2.5), torch.tensor([60.0, 50.0, 170.0, 150.0])
    for operator in ZOO.values():
        torch.testing.assert_close(operator(features, box, 3, 1 / 32), torch.full((3, 3, 3), 2.5))


def test_bad_input():
    features = article_map()
    with pytest.raises(ValueError, match="features"):
        ZOO["RoIAlign"](features, BOX, 2, 1 / 32)
    with pytest.raises(ValueError, match="box must have x1 < x2"):
        ZOO["exact mean"](features[0], BOX.flip(0), 2, 1 / 32)
    with pytest.raises(ValueError, match="spatial_scale"):
        ZOO["RoIAlign"](features[0], BOX, 2, -1.0)


def test_samplings_are_where_the_operators_read():
    samplings = {
        name: draw.sampling_of(op, BOX, 2, 1 / 32, 2, False, (6, 6)) for name, op in ZOO.items()
    }
    assert samplings["RoIPool"].y.tolist() == [[-0.5, 2.5], [1.5, 4.5]], "around whole elements"
    assert samplings["RoIAlign"].roi.tolist() == [0.3125, 0.3125, 3.875, 3.875]
    _, y, x, _ = samplings["crop_and_resize"]
    assert (x[1].tolist(), y[0].tolist()) == ([3.875], [0.3125])
    assert {name for name, sampling in samplings.items() if sampling.areas} == {
        *("RoIPool", "RoIPool, disjoint", "exact mean")
    }


def test_pictures():
    features = article_map()
    curves = {"ratio 1": [0.5, 0.1], "ratio 2": [0.2, 0.05]}
    pictures = [
        draw.zoo_figure(features[0], BOX, 1 / 32),
        draw.pairs_figure({"a": (0.3, 3.9), "b": (0.4, 4.0)}, 2),
        draw.convergence_figure([1, 2], curves),
        draw.length_figure([1, 2], {"a": curves, "b": curves}),
        draw.border_figure(range(0, 200, 8), dict.fromkeys("abc", np.eye(25)), 192),
    ]
    for picture in pictures:
        assert isinstance(picture, Figure)
        assert len(figure_png(picture)) < 120_000
    titles = [ax.get_title(loc="left") for ax in pictures[0].axes]
    assert titles == list(ZOO)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ratio", 3), ("aligned", True), ("smoothness", 1.0), ("shift", 9)]
    + [("operator", name) for name in ZOO if name != "RoIAlign"],
)
def test_the_explorer_follows_every_control(name, value):
    explorer = explore_roi_zoo()
    png, text = explorer.png, explorer.text
    explorer.controls[name].value = value
    assert explorer.png != png
    assert explorer.text != text
    explorer.set(**{name: getattr(RoIZooState(), name)})
    assert explorer.png == png and explorer.text == text, "and back"


def test_the_explorer_shows_the_operators_numbers():
    state = RoIZooState()
    first = state.render()[1]
    assert first.startswith("RoIAlign: at most 0.0202 away from the exact mean")
    for name in ZOO:
        state.operator, state.ratio, state.shift = name, 3, 17
        right = ZOO[name](article_map()[0], BOX + 17.0, 2, 1 / 32, 3)
        text = state.render()[1]
        numbers = [float(word) for word in text.split("output:")[1].split()[:4]]
        assert numbers == pytest.approx(right.flatten().tolist(), abs=6e-5)


def test_the_explorer_takes_other_maps():
    assert "exact mean" in explore_roi_zoo(torch.randn(1, 1, 7, 9)).text
    with pytest.raises(ValueError, match=r"\[1, 1, h, w\]"):
        explore_roi_zoo(torch.zeros(6, 6))


def test_smoothed_keeps_mean_and_spread():
    features = article_map()
    assert smoothed(features, 0.0) is features
    for sigma in (0.5, 2.0):
        smooth = smoothed(features, sigma)
        assert smooth.mean().item() == pytest.approx(features.mean().item(), abs=1e-5)
        assert smooth.std().item() == pytest.approx(features.std().item(), rel=1e-4)
        steps = [m.diff(dim=-1).abs().mean().item() for m in (smooth, features)]
        assert steps[0] < steps[1]
