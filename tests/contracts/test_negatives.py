import pytest
import torch

from amask_solo.cli.composed import composed
from amask_solo.fills import Zero
from amask_solo.game.negatives import HardNegatives
from amask_solo.masked.settings import build_settings
from tests.contracts.configs import build, names
from tests.tiny import tiny_cfg


@pytest.fixture(params=[name for name in names("negatives") if name != "none"])
def name(request):
    return request.param


def test_a_part_of_each_view_is_hidden_and_by_the_generator_alone(name):
    negatives, view = build("negatives", name), torch.rand(4, 3, 32, 32) + 1
    before = torch.get_rng_state()
    first, again = (negatives.views(view, Zero(), generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    hidden = (first != view).flatten(1).float().mean(dim=1)
    assert 0 < hidden.min() <= hidden.max() < 1


def test_no_number_on_the_device_is_looked_at(name):
    view = torch.empty(4, 3, 32, 32, device="meta")
    assert build("negatives", name).to("meta").views(view, Zero()).shape == view.shape


def test_it_is_chosen_by_name(name):
    settings = build_settings(tiny_cfg("amask_simclr", **{"adversary.negatives": {"name": name, "weight": 2.5}}))
    assert isinstance(settings.adversary.game.negatives, HardNegatives)
    assert settings.adversary.game.negatives.weight == 2.5


def test_the_control_weighs_as_much_as_saliency_does():
    assert build("negatives", "random_block").weight == build("negatives", "saliency").weight


def test_none_takes_those_of_an_experiment_away():
    words = ["run_folder=none", "experiment=saliency_mocov2plus"]
    assert composed("pretrain", words).adversary.negatives is not None
    assert composed("pretrain", [*words, "negatives=none"]).adversary.negatives is None
