"""The recipes of ADIOS beside numbers of the authors' code, on the same small networks, masks and images.

``adios.json`` has what their code gives in float64 for each of their scripts: the encoder's loss and the norms of its
gradients, the masker's objective and its gradient, and the drawn masks of the scripts that draw one.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from amask_solo._types import Images, Masks
from amask_solo.errors import UserError
from amask_solo.game.updates import Board
from amask_solo.hosts.installed import load_host
from amask_solo.masked.loss import Step
from amask_solo.maskers.base import Masker
from tests.daily import one_in
from tests.players import OneConvolution, attach, build, fit, masker_node
from tests.test_configs import composed

pytestmark = pytest.mark.host

THEIRS = json.loads((Path(__file__).parent / "adios.json").read_text())
BATCH, PIXELS, WIDTH = 6, 8, 6


class Softmax(Masker):
    """One convolution, whose N maps share the image out."""

    def __init__(self, num_masks: int) -> None:
        super().__init__()
        self.num_masks = num_masks
        self.network = nn.Conv2d(3, num_masks, 3, padding=1)

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        return self.network(images).softmax(dim=1)


def seeded(network: nn.Module, seed: int) -> nn.Module:
    for number, weight in enumerate(network.parameters()):
        source = torch.Generator().manual_seed(100 * seed + number)
        weight.data = 0.5 * torch.randn(weight.shape, generator=source, dtype=torch.float64)
    return network


def backbone() -> nn.Module:
    layers = [nn.Conv2d(3, WIDTH, 3, stride=2), nn.BatchNorm2d(WIDTH), nn.Tanh()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def head() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))


def played(recipe: str):
    """Return the method of a recipe, with its game, on small networks."""
    cfg, host = composed(f"experiment={recipe}"), load_host()
    keys = ("draw", "reduction", "pairs", "symmetric", "constraint", "update", "fill", "side")
    settings = {f"adversary.{key}": cfg.adversary[key] for key in keys if key in cfg.adversary}
    if "temperature" in cfg.method_kwargs:
        settings["method_kwargs.temperature"] = cfg.method_kwargs.temperature
    masker = masker_node(Softmax, num_masks=cfg.adversary.masker.num_masks)
    model = build(cfg.method.removeprefix("amask_"), masker, **settings)
    parts = {
        host.backbone: backbone(),
        "projector": head(),
        "predictor": head(),
        host.momentum_backbone: backbone(),
        "momentum_projector": head(),
    }
    for seed, (name, part) in enumerate(parts.items(), start=1):
        if hasattr(model, name):
            setattr(model, name, seeded(part, seed))
    model.classifier = nn.Linear(WIDTH, 4)
    seeded(model.adversary.masker, 6)
    weights = model.adversary.game.constraint.weights
    if "evenness" in weights:  # theirs is summed over the batch, so the recipe's weight is for as many images as it has
        weights["evenness"] *= BATCH / cfg.optimizer.batch_size
    attach(model)
    return model.double()


def board(model, loss) -> Board:
    return Board(
        model.adversary.game, loss.clean, model.sides, loss, torch.Generator().manual_seed(1), None, loss.probe
    )


@pytest.mark.parametrize("recipe", one_in(3, THEIRS))
def test_a_recipe_has_the_loss_and_the_gradients_of_the_authors(recipe, double):
    model, theirs = played(recipe), THEIRS[recipe]
    source = torch.Generator().manual_seed(0)
    views = list(torch.randn(2, BATCH, 3, PIXELS, PIXELS, generator=source, dtype=torch.float64))
    step = Step([torch.arange(BATCH), views, torch.zeros(BATCH).long()], 0)

    with model._loss(step, loud_call=model.adversary.game.num_entries) as loss:
        turn = model.adversary.update.encoder_turn(board(model, loss), moves=True)
    assert turn.loss.item() == pytest.approx(theirs["loss"], rel=1e-9)
    parts = {load_host().backbone: "encoder", "projector": "projector", "predictor": "predictor"}
    for ours, part in parts.items():
        if part in theirs["encoder_gradient_norms"]:
            grads = torch.autograd.grad(turn.loss, list(getattr(model, ours).parameters()), retain_graph=True)
            norm = torch.nn.utils.get_total_norm(grads).item()
            assert norm == pytest.approx(theirs["encoder_gradient_norms"][part], rel=1e-9)

    with model._loss(step) as loss:
        objective = model.adversary.update.masker_turn(board(model, loss)).objective
    assert objective.item() == pytest.approx(theirs["objective"], rel=1e-6)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(objective, model.adversary.learned())])
    expected = torch.tensor(theirs["mask_gradient"], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-6 * expected.norm().item())


def test_only_byol_leaves_the_last_ten_epochs_to_the_masker():
    for recipe in THEIRS:
        cfg = composed(f"experiment={recipe}")
        assert round(cfg.adversary.get("alone", 0) * cfg.max_epochs) == (10 if "byol" in recipe else 0), recipe


def test_the_encoders_cosine_can_end_before_the_training():
    def rates(epochs: int, **settings) -> list[float]:
        model = build("byol", masker_node(OneConvolution), max_epochs=epochs, **settings)
        return [step[0] for step in fit(model, epochs=epochs)[1].rates]

    alone, short = rates(6, **{"adversary.alone": 0.5}), rates(3)
    assert alone == pytest.approx([*short, *[0.0] * 6], abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"adversary.alone": 1.0}, "from 0 to below 1, but got 1.0"),
        ({"adversary.alone": "half"}, "from 0 to below 1, but got 'half'"),
        ({"adversary.alone": 0.1, "scheduler.name": "step"}, "scheduler.name=step has none"),
    ],
)
def test_an_end_that_does_not_exist_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        build("byol", masker_node(OneConvolution), **settings)
