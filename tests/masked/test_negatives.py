"""One more logit for each query, in the losses of the host."""

import pytest
import torch
from torch.nn import functional as F

from amask_solo.errors import UserError
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import by_name
from amask_solo.masked.method import wrap
from amask_solo.maskers import Masker
from tests.players import METHODS, NothingHidden, OneConvolution, attach, batch_of, build, fit, masker_node
from tests.tiny import tiny_cfg

pytestmark = pytest.mark.host

WITH_LOGITS = [name for name in METHODS if by_name(name).contrast]
WEIGHT, TEMPERATURE = 1.5, 0.2


class LeftHalf(Masker):
    """Hides the left half of every image, and all of one of them, if told which."""

    num_masks = 1
    whole = None

    def forward(self, images, *, generator=None):
        masks = torch.zeros_like(images[:, :1])
        masks[..., :16] = 1
        if self.whole is not None:
            masks[self.whole] = 1
        return masks


NEGATIVES = {
    "adversary.negatives": {
        "_target_": "amask_solo.game.negatives.HardNegatives",
        "weight": WEIGHT,
        "masker": masker_node(LeftHalf),
    }
}


def with_negatives(name, *, masker=NothingHidden, **settings):
    model = build(name, masker_node(masker), **NEGATIVES, **settings)
    attach(model)
    return model


def encoded(model, images, *, teacher=False, predicted=False):
    host, momentum = load_host(), "momentum_" if teacher else ""
    features = getattr(model, host.momentum_backbone if teacher else host.backbone)(images)
    features = getattr(model, f"{momentum}projector")(features)
    return F.normalize(model.predictor(features) if predicted else features, dim=1)


def info_nce(logits, queries, hard, labels):
    extra = WEIGHT * (queries * hard).sum(dim=1, keepdim=True) / TEMPERATURE
    return F.cross_entropy(torch.cat([logits / TEMPERATURE, extra], dim=1), labels)


def written_out(model, name, views):
    """Return the loss with one more logit, as the papers have it."""
    count, teacher = len(views[0]), name.startswith("moco")
    with torch.no_grad():
        hard = [encoded(model, torch.where(LeftHalf()(v) == 1, 0.0, v), teacher=teacher) for v in views]
    own = [encoded(model, view, predicted=name in ("mocov3", "nnclr")) for view in views]
    every = torch.arange(count)
    if name in ("simclr", "supcon"):
        rows = torch.cat(own)
        logits = rows @ rows.T - torch.eye(2 * count) * 1e9
        return info_nce(logits, rows, torch.cat(hard[::-1]), torch.cat([every + count, every]))
    keys = [encoded(model, view, teacher=teacher) for view in views]
    if name == "nnclr":
        keys = [model.find_nn(key)[1] for key in keys]
    losses = []
    for query, (number, key) in zip(own, [*enumerate(keys)][::-1], strict=True):
        if name == "mocov2plus":
            logits, labels = (
                torch.cat([(query * key).sum(1, keepdim=True), query @ model.queue[number].clone()], 1),
                every * 0,
            )
        else:
            logits, labels = (key @ query.T if name == "nnclr" else query @ key.T), every
        losses.append(info_nce(logits, query, hard[number], labels))
    return sum(losses) * (2 * TEMPERATURE if name == "mocov3" else 0.5)


@pytest.mark.parametrize("name", WITH_LOGITS)
def test_the_loss_is_an_info_nce_with_one_more_logit(name, double):
    model = with_negatives(name).double().eval()
    batch = batch_of(4, dtype=torch.float64)  # of four classes, so that SupCon's positives are SimCLR's
    expected = written_out(model, name, batch[1])
    loss = model.training_step(batch, 0)
    torch.testing.assert_close(model.step.turn.loss, expected.detach(), atol=1e-5, rtol=1e-5)
    learned = [p for n, p in model.named_parameters() if p.requires_grad and "classifier" not in n]
    gradients = (torch.autograd.grad(value, learned, allow_unused=True) for value in (loss, expected))
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_the_negative_of_one_image_moves_its_own_query_alone(double):
    model = with_negatives("mocov2plus").double().eval()
    index, views, targets = batch_of(dtype=torch.float64)
    views, queue, gradients = [view.requires_grad_() for view in views], model.queue.clone(), []
    for whole in (None, 5):
        model.queue = queue.clone()
        model.adversary.game.negatives.masker.whole = whole
        loss = model.training_step([index, views, targets], 0)
        gradients.append(torch.stack(torch.autograd.grad(loss, views)))
    differs = (gradients[0] - gradients[1]).abs().amax(dim=(2, 3, 4)) > 1e-9  # (views, images)
    assert differs.nonzero()[:, 1].unique().tolist() == [5]
    assert differs[:, 5].all()


@pytest.mark.parametrize("name", WITH_LOGITS)
def test_nothing_is_left_behind(name):
    kept = []
    for more in ({}, NEGATIVES):
        model = build(name, masker_node(OneConvolution), **{"adversary.draw": "all"}, **more)
        attach(model)
        torch.manual_seed(2)
        model.training_step(batch_of(), 0)
        kept.append((dict(model.named_buffers()), torch.get_rng_state(), model.step.turn.loss))
    (without, state, less), (buffers, after, loss) = kept
    for key, expected in without.items():
        torch.testing.assert_close(buffers[key], expected, rtol=0, atol=0, msg=key)
    assert torch.equal(state, after)
    assert loss > less


@pytest.mark.parametrize("settings", [{"adversary.update": "alternating"}, {"adversary.memory_efficient": True}])
def test_both_players_learn_from_it_in_bf16_as_well(settings):
    model = with_negatives("simclr", masker=OneConvolution, **{"adversary.draw": "all"}, **settings)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    del model.log, model.log_dict  # attached
    _, trace = fit(model, epochs=1, batches=1, precision="bf16-mixed")
    assert trace.turn.loss.isfinite()
    first = "encoder.conv1.weight" if "encoder.conv1.weight" in before else "backbone.conv1.weight"
    for name in (first, "projector.0.weight", "adversary.game.masker.network.weight"):
        assert not torch.equal(model.state_dict()[name], before[name]), name


def test_a_method_without_logits_is_refused():
    with pytest.raises(UserError, match=r"BYOL does not have; choose one of .*simclr"):
        with_negatives("byol")


def test_other_than_two_views_are_refused():
    with pytest.raises(UserError, match="exactly two views"):
        with_negatives("simclr", **{"data.num_large_crops": 3})


@pytest.mark.parametrize("calls", [0, 2])
def test_a_training_step_that_is_not_the_host_s_is_refused(calls):
    simclr = load_host().methods()["simclr"]

    class Own(simclr):
        def training_step(self, batch, batch_idx):
            return sum((super(Own, self).training_step(batch, batch_idx) for _ in range(calls)), torch.zeros(()))

    model = wrap(Own)(tiny_cfg("amask_simclr", **{"adversary.masker": masker_node(NothingHidden)}, **NEGATIVES))
    attach(model)
    with pytest.raises(UserError, match=f"called simclr_loss_func {calls} times"):
        model.training_step(batch_of(), 0)
    assert model.step.turn is None
