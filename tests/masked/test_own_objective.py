"""A base objective of one's own, which knows nothing of masks."""

import pytest
import torch
from torch.nn.functional import normalize

from amask_solo.errors import UserError
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import UNKNOWN, by_class
from amask_solo.masked.method import wrap
from tests.players import OneConvolution, masker_node
from tests.tiny import thin_networks, tiny_cfg, tiny_loaders, tiny_trainer

pytestmark = pytest.mark.host


class Own(load_host().base):
    """Views lie close together."""

    def alignment(self, out):
        z_1, z_2 = (normalize(feats, dim=1) for feats in out["feats"])
        return (z_1 - z_2).square().sum(dim=1).mean()


class Counting(Own):
    """State in plain attributes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls, self.center, self.total = 0, torch.zeros(1), torch.zeros(1)

    def training_step(self, batch, batch_idx):
        out = super().training_step(batch, batch_idx)
        self.calls += 1
        self.center = 0.9 * self.center + 0.1
        self.total += 1
        return self.alignment(out) + out["loss"]


class WithoutClassifier(Own):
    """The loss of the online classifier is left out."""

    def training_step(self, batch, batch_idx):
        return self.alignment(super().training_step(batch, batch_idx))


class InAMapping(Own):
    """Lightning takes a mapping too."""

    def training_step(self, batch, batch_idx):
        out = super().training_step(batch, batch_idx)
        return {"loss": self.alignment(out) + out["loss"]}


class ByHand(Own):
    """It steps by itself."""

    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)


def fitted(method, **adversary):
    node = {"adversary": {"masker": masker_node(OneConvolution), "draw": "all", "steps": 2, **adversary}}
    cfg = tiny_cfg("amask_own", **node, method_kwargs={})
    torch.manual_seed(0)
    with thin_networks():
        model = wrap(method)(cfg)
    before = model.classifier.weight.detach().clone()
    tiny_trainer(max_epochs=1).fit(model, tiny_loaders()[0])
    return model, (model.classifier.weight.detach() - before).abs().max()


def test_state_in_plain_attributes_moves_once_a_step():
    model, _ = fitted(Counting)
    assert model.calls == 2
    assert (model.center.item(), model.total.item()) == pytest.approx((0.19, 2.0))


def test_a_classifier_whose_loss_is_left_out_stays_as_it_is():
    assert fitted(WithoutClassifier)[1] == 0
    assert fitted(Counting)[1] > 0


def test_a_loss_may_lie_in_a_mapping():
    assert fitted(InAMapping)[1] == fitted(Counting)[1]


def test_a_step_without_a_loss_is_refused():
    with pytest.raises(UserError, match=r"ByHand\.training_step returns no loss"):
        fitted(ByHand)


@pytest.mark.parametrize("name", ["WMSE", "MAE", "SwAV", "DeepClusterV2"])
def test_a_class_of_ones_own_is_not_the_hosts_of_the_same_name(name, host):
    method = type(name, (host.base,), {})
    assert by_class(method) is by_class(host.adapt(method)) is by_class(wrap(method)) is UNKNOWN
