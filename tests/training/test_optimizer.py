"""Muon against its definition, its polynomial by hand, and PyTorch's."""

import pytest
import torch
from torch import nn

from mrcnn_lite.config import lite, with_keypoints
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.training import TrainingRun
from mrcnn_lite.training.optimizer import (
    MOMENTUM,
    POLYNOMIAL,
    RATES,
    ROUNDS,
    Muon,
    follow,
    orthogonalise,
)
from mrcnn_lite.training.run import make_optimizer

SHAPES = [(6, 40), (40, 6), (8, 8), (1, 5)]


def polynomial(values):
    """What the rounds make of singular values."""
    a, b, c = POLYNOMIAL
    for _ in range(ROUNDS):
        values = a * values + b * values**3 + c * values**5
    return values


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalise_is_the_polynomial_of_the_singular_values(shape):
    matrices = torch.randn(3, *shape, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    s = polynomial(s / (s.norm(dim=1, keepdim=True) + 1e-7))
    torch.testing.assert_close(orthogonalise(matrices), u * s[:, None] @ v, rtol=0, atol=1e-10)
    rough = orthogonalise(matrices.float())
    torch.testing.assert_close(rough.double(), orthogonalise(matrices), rtol=0, atol=1e-4)


def test_all_directions_become_about_equally_long():
    values = torch.logspace(-2, 0, 200, dtype=torch.float64)
    assert polynomial(values).min() > 0.67 and polynomial(values).max() < 1.21
    assert polynomial(torch.linspace(0, 1e-3, 200)).max() < 0.5


def test_no_gradient_is_no_step():
    assert torch.equal(orthogonalise(torch.zeros(2, 3, 5)), torch.zeros(2, 3, 5))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_direction_is_pytorchs(shape):
    """Its sums are in bfloat16, so to a few hundredths of the length."""
    weight = nn.Parameter(torch.zeros(shape))
    theirs = torch.optim.Muon([weight], lr=1.0, weight_decay=0.0, momentum=MOMENTUM)
    weight.grad = torch.randn(shape)
    theirs.step()
    mine = orthogonalise(weight.grad[None])[0]
    cosine = nn.functional.cosine_similarity(-weight.detach().flatten(), mine.flatten(), dim=0)
    assert cosine > 0.999


def test_a_step_by_hand():
    """A tall convolution and a wide matrix, two steps; the vector is AdamW's own."""
    weights = [torch.randn(8, 3, 1, 1), torch.randn(4, 8)]
    tensors = [nn.Parameter(w.clone()) for w in weights] + [nn.Parameter(torch.ones(5))]
    alone = nn.Parameter(torch.ones(5))
    groups = [
        {"params": tensors[:2], "weight_decay": 0.1, "muon": True},
        {"params": tensors[2:], "weight_decay": 0.0, "muon": False},
    ]
    rate, means = 0.01, [torch.zeros_like(w) for w in weights]
    mine, adam = Muon(groups, lr=rate), torch.optim.AdamW([alone], lr=rate, weight_decay=0.0)
    for _ in range(2):
        for parameter in tensors:
            parameter.grad = torch.randn_like(parameter)
        alone.grad = tensors[2].grad.clone()
        mine.step()
        adam.step()
        for place, long in enumerate((8 / 3, 1.0)):
            gradient = tensors[place].grad
            means[place] = MOMENTUM * means[place] + (1 - MOMENTUM) * gradient
            ahead = MOMENTUM * means[place] + (1 - MOMENTUM) * gradient
            step = orthogonalise(ahead.flatten(1)[None])[0].view_as(gradient)
            weights[place] = weights[place] * (1 - rate * 0.1) - rate * RATES * long**0.5 * step
    for parameter, weight in zip(tensors, weights, strict=False):
        torch.testing.assert_close(parameter.detach(), weight)
    assert torch.equal(tensors[2], alone)


def test_seldom_needed_directions_are_learned_as_fast():
    """Least squares in which one direction has a thousandth of another's curvature: gradient
    descent hardly moves along it."""
    curvature = torch.logspace(-3, 0, 4)

    def left(make):
        weight = nn.Parameter(torch.zeros(4, 4))
        optimizer = make([weight])
        for step in range(200):
            optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 200)
            weight.grad = curvature[:, None] * (weight.detach() - torch.eye(4))
            optimizer.step()
        return (weight.detach() - torch.eye(4)).abs().max()

    descent = left(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9))
    muon = left(lambda p: Muon([{"params": p, "muon": True}], lr=0.01, weight_decay=0.0))
    assert descent > 0.9 and muon < 0.05


def test_the_first_layer_the_last_ones_and_vectors_are_adamws():
    model = MaskRCNN(with_keypoints(lite(), 4))
    optimizer = make_optimizer(model, model.config.training)
    names = {p: name for name, p in model.named_parameters()}
    muon, matrices, vectors = ([names[p] for p in g["params"]] for g in optimizer.param_groups)
    assert sorted(muon + matrices + vectors) == sorted(names.values())
    assert len(muon) > 30 and all(model.get_parameter(name).ndim > 1 for name in muon)
    assert matrices[0] == "backbone.body.stem.0.weight"
    assert {name.split(".")[-2] for name in matrices[1:]} == {
        "cls_logits",
        "bbox_pred",
        "cls_score",
        "mask_fcn_logits",
        "kps_score_lowres",
    }
    assert all(model.get_parameter(name).ndim == 1 for name in vectors)
    moved = [group["muon"] for group in optimizer.param_groups]
    assert moved == [True, False, False] and isinstance(optimizer, Muon)


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_every_optimizer_learns(optimizer):
    """One image by heart; SGD at the paper's rate."""
    rate = 0.02 if optimizer == "sgd" else 3e-3
    settings = {"optimizer": optimizer, "learning_rate": rate, "warmup_steps": 5}
    data = Shapes(None, seed=1)
    run = TrainingRun(lite().with_(training=settings), data.class_names)
    image, target = data[3]
    losses = [run.step(([image], [target]), 0.0)["loss"] for _ in range(15)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_average_follows():
    model = nn.BatchNorm1d(2)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    nn.init.constant_(model.weight, 3.0)
    model.num_batches_tracked += 7
    follow(average, model, 0.25)
    assert average["weight"].tolist() == [1.5, 1.5] and average["num_batches_tracked"] == 0
