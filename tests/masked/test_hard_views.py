"""Hard views in the methods of the host, whichever generation it is."""

import pytest
import torch
from lightning.pytorch import Callback
from omegaconf import OmegaConf
from torch.nn import functional as F
from torchvision.transforms import Normalize

from amask_solo._types import WeightedViews
from amask_solo.errors import UserError
from amask_solo.hard_views import AdversarialPixels, Beside, Chain, CutMix
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import by_name
from amask_solo.masked.clean_view import in_memory_format
from amask_solo.masked.loss import Step
from amask_solo.maskers import NoMasks, RandomMasker
from tests.daily import of_each_kind
from tests.players import (
    KINDS,
    METHODS,
    NothingHidden,
    OneConvolution,
    Trace,
    attach,
    batch_of,
    build,
    fit,
    masker_node,
)

pytestmark = pytest.mark.host
every_method = pytest.mark.parametrize("name", KINDS)

SET_UP_BY_HOOKS = ("deepclusterv2", "swav")
DRAWS_NUMBERS = ("all4one", "wmse")


def node(kind, **arguments):
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **arguments}


NOTHING_ADDED = node(AdversarialPixels, eps=0.0)
GENTLE = node(Chain, hard_views=[NOTHING_ADDED, node(CutMix, masker=node(NoMasks))])
ALL = node(
    Beside,
    parts={
        "adversarial": node(AdversarialPixels, steps=2, random_start=True),
        "cutmix": node(CutMix, masker=node(RandomMasker, area=0.25)),
        "clean": node(Chain),
    },
)


DRAWN = ("color_jitter", "grayscale", "gaussian_blur", "solarization", "equalization", "horizontal_flip")
NOTHING_DRAWN = OmegaConf.create(
    {"rrc": {"enabled": False}, "crop_size": 32} | {name: {"enabled": False, "prob": 0.0} for name in DRAWN}
)


def played(name, hard_views, masker=None, **settings):
    return build(name, masker or masker_node(NoMasks), **{"adversary.hard_views": hard_views, **settings})


def state(model):
    return {key: value for key, value in model.state_dict().items() if not key.startswith("adversary.")}


def assert_same(got, expected, **tolerance):
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, equal_nan=True, msg=lambda m, k=key: f"{k}: {m}", **tolerance)


def gradients(model):
    return {key: p.grad for key, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", of_each_kind(name for name in METHODS if name not in SET_UP_BY_HOOKS))
def test_with_nothing_added_and_nothing_pasted_loss_gradients_and_buffers_are_the_stock_ones(name):
    found = []
    # A method that draws numbers in each call draws those of the stock one in the first.
    gentle = NOTHING_ADDED if name in DRAWS_NUMBERS else GENTLE
    for model in (build(name), played(name, gentle)):
        attach(model)
        batch = in_memory_format(model, batch_of())
        torch.manual_seed(2)
        loss = model.training_step(batch, 0)
        loss.backward()
        # Where the first view is the hard one, the clean one is encoded before it: averages come in another order.
        skipped = ("adversary.", "running") if name in ("ressl", "wmse") else ("adversary.",)
        buffers = {k: b for k, b in model.named_buffers() if not any(part in k for part in skipped)}
        found.append((loss.detach(), gradients(model), buffers))
    (loss, grads, buffers), ours = found
    torch.testing.assert_close(ours[0], loss, rtol=1e-5, atol=1e-6)
    assert_same(ours[1], grads, rtol=1e-4, atol=1e-6)
    assert_same(ours[2], buffers, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SET_UP_BY_HOOKS)
def test_with_nothing_added_and_nothing_pasted_the_method_learns_as_the_stock_method(name):
    epochs = by_name(name).first_epoch + 1
    trained = [build(name), played(name, GENTLE)]
    for model in trained:
        fit(model, batches=1, epochs=epochs, limit_val_batches=0)
    assert_same(*map(state, reversed(trained)), rtol=1e-4, atol=1e-5)


class Attacked(Callback):
    """Attacks the first batch that the game is played on, and compares what is there before and after."""

    def __init__(self, attack):
        self.attack, self.losses = attack, []

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        if self.losses or not model.plays(trainer.current_epoch):
            return
        batch = in_memory_format(model, batch)
        torch.manual_seed(5)  # where a method drops features out, the attack is on the ones that are scored
        with model._loss(Step(batch, batch_idx)) as loss:
            traces = self.traces(model)
            (hard,) = self.attack([WeightedViews(tuple(loss.clean), 1.0, model.side)], loss.probe)
            assert_same(self.traces(model), traces, rtol=0, atol=0)
            assert loss.calls == 0
            for views in (loss.clean, hard.views):
                torch.manual_seed(5)
                self.losses.append(float(loss.probe(views).detach()))

    def traces(self, model):
        found = {key: value.clone() for key, value in model.state_dict().items()}
        found |= {f"grad {key}": torch.ones(()) for key, p in model.named_parameters() if p.grad is not None}
        return found | {"numbers": torch.get_rng_state()}


@every_method
def test_an_attack_raises_the_loss_and_leaves_no_trace(name):
    # A step so small that it changes no nearest neighbor.
    epochs = by_name(name).first_epoch + 1
    attacked = Attacked(AdversarialPixels(eps=0.01))
    model = played(name, "none")
    fit(model, batches=1, epochs=epochs, limit_val_batches=0, callbacks=[attacked, Trace()])
    clean, hard = attacked.losses
    assert hard > clean


def contrast(anchors, keys, temperature):
    """NT-Xent over both views, in plain steps."""
    z = F.normalize(torch.cat([anchors, keys]), dim=1)
    scores = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    return F.cross_entropy(scores, torch.arange(len(z)).roll(len(anchors)))


def by_hand(model, name, first, second):
    backbone, teacher = (getattr(model, key, None) for key in (load_host().backbone, load_host().momentum_backbone))
    z = [model.projector(backbone(view)) for view in (first, second)]
    if name == "simclr":
        return contrast(*z, 0.2)
    with torch.no_grad():
        keys = [model.momentum_projector(teacher(view)) for view in (first, second)]
    if name == "byol":
        p = [model.predictor(each) for each in z]
        return sum(2 - 2 * F.cosine_similarity(p[n], keys[1 - n]).mean() for n in range(2))
    total = 0.0
    queue = model.queue.clone()
    for n in range(2):
        query, key = F.normalize(z[n], dim=1), F.normalize(keys[1 - n], dim=1)
        logits = torch.cat([(query * key).sum(1, keepdim=True), query @ queue[1 - n]], dim=1) / 0.2
        total = total + F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long)) / 2
    return total


@pytest.mark.parametrize("name", ["simclr", "byol", "mocov2plus"])
def test_gradients_of_cutmix_are_those_of_the_loss_written_by_hand(name, double):
    model = played(name, node(CutMix, masker=node(RandomMasker, area=0.3))).double()
    attach(model)
    (clean, view), seen = batch_of(dtype=torch.float64)[1], {}
    masker = model.adversary.game.hard_views.masker
    masker.register_forward_hook(lambda *call: seen.update(mask=call[2]))
    model.training_step(batch_of(dtype=torch.float64), 0).backward()
    got = {key: p.grad for key, p in model.named_parameters() if p.grad is not None and "classifier" not in key}

    model = played(name, "none").double()
    mask = seen["mask"]
    mixed = (1 - mask) * view + mask * view[torch.arange(-1, len(view) - 1)]
    pasted = mask.mean()
    # As CutMix is usually written: here the clean views are put in the order of what was pasted.
    loss = (1 - pasted) * by_hand(model, name, clean, mixed) + pasted * by_hand(model, name, clean.roll(1, 0), mixed)
    loss.backward()
    assert_same(got, gradients(model), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "update", "side"), [("simclr", "reversal", 1), ("byol", "alternating", 1), ("ressl", "reversal", "both")]
)
def test_the_graph_of_one_entry_at_a_time_gives_the_gradients_of_all_graphs_together(name, update, side, double):
    found = []
    for frugal in (False, True):
        settings = {"adversary.update": update, "adversary.draw": "all", "adversary.memory_efficient": frugal}
        settings["adversary.side"] = side
        model = played(name, ALL, masker_node(OneConvolution, num_masks=2), **settings).double()
        attach(model)
        batch = in_memory_format(model, batch_of(dtype=torch.float64))
        model.training_step(batch, 0).backward()
        if update == "alternating":
            model._masker_turn(model.step)
        found.append((gradients(model), dict(model.named_buffers())))
    assert any(key.startswith("adversary.") for key in found[0][0])
    for together, one_by_one in zip(*found, strict=True):
        assert_same(one_by_one, together, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("update", ["reversal", "alternating"])
def test_hard_views_are_played_with_all_that_a_masker_may_be_asked_for(update):
    settings = {"update": update, "steps": 2, "share": 0.5, "loud": "clean", "side": "both", "hard_views": ALL}
    model = build("mocov2plus", masker_node(OneConvolution), **{f"adversary.{k}": v for k, v in settings.items()})
    before = [p.clone() for p in model.adversary.learned()]
    trainer, trace = fit(model, batches=2, epochs=1)
    assert trace.steps == [1, 2]
    assert torch.isfinite(trace.turn.loss)
    assert torch.isfinite(trainer.callback_metrics["train_class_loss_epoch"])
    assert all(bool((a != b).any()) for a, b in zip(before, model.adversary.learned(), strict=True))


def test_the_clean_view_is_encoded_once_and_each_step_of_an_attack_encodes_one_view():
    model = played("byol", ALL)
    attach(model)
    passes = []
    getattr(model, load_host().backbone).conv1.register_forward_hook(lambda *_: passes.append(1))
    model.training_step(batch_of(), 0)
    assert len(passes) == 1 + (2 + 1) + 2 + 1  # clean; two steps and the result; two mixed; the view as it is


def test_the_data_s_own_mean_and_std_are_used_unless_others_are_given():
    data = {"data.mean": [0.1, 0.2, 0.3], "data.std": [0.5, 0.5, 0.5]}
    game = played("simclr", ALL, **data).adversary.game
    attack = game.hard_views.parts["adversarial"]
    torch.testing.assert_close(attack.mean.flatten(), 255 * torch.tensor([0.1, 0.2, 0.3]))
    own = node(AdversarialPixels, mean=[0.4, 0.4, 0.4], std=[0.2, 0.2, 0.2])
    attack = played("simclr", own, **data).adversary.game.hard_views
    torch.testing.assert_close(attack.std.flatten(), torch.full((3,), 51.0))


@pytest.mark.parametrize("hard_views", [NOTHING_ADDED, GENTLE, ALL])
def test_an_attack_on_a_view_that_passes_no_gradient_is_refused(hard_views):
    with pytest.raises(UserError, match="passes no gradient to view 1"):
        played("ressl", hard_views, **{"adversary.side": 1})
    played("ressl", node(CutMix, masker=node(NoMasks)), **{"adversary.side": 1})


@pytest.mark.parametrize("name", ["cifar10", "stl10"])
def test_in_the_host_s_own_scripts_the_mean_and_std_are_those_of_the_data_set(name):
    attack = played("simclr", ALL, **{"data.dataset": name}).adversary.game.hard_views.parts["adversarial"]
    by_the_host = pytest.importorskip("solo.data.pretrain_dataloader").build_transform_pipeline(name, NOTHING_DRAWN)
    (normalize,) = [step for step in by_the_host.transforms if isinstance(step, Normalize)]
    for ours, theirs in ((attack.mean, normalize.mean), (attack.std, normalize.std)):
        torch.testing.assert_close(ours.flatten(), 255 * torch.tensor(theirs))


@pytest.mark.parametrize("name", [n for n in ("simclr", "byol", "ressl", "wmse") if n in METHODS])
def test_with_masks_of_zero_on_both_views_the_method_is_the_stock_method(name):
    trained = [build(name), build(name, masker_node(NothingHidden), **{"adversary.side": "both"})]
    for model in trained:
        fit(model, batches=2, epochs=1, limit_val_batches=0)
    assert_same(*map(state, reversed(trained)), rtol=1e-4, atol=1e-5)


def test_each_of_both_views_has_its_own_masks_and_the_masker_learns_from_both():
    model = build("simclr", masker_node(OneConvolution), **{"adversary.side": "both", "adversary.draw": "all"})
    attach(model)
    batch = batch_of()
    model.training_step(batch, 0).backward()
    turn = model.step.turn
    assert turn.masks.shape[0] == 16
    first, second = (model.adversary.masker(view) for view in batch[1])
    torch.testing.assert_close(turn.masks, torch.cat([first, second]))
    assert all(p.grad.abs().max() > 0 for p in model.adversary.learned())


def test_online_evaluation_learns_from_clean_features_with_masks_on_both_views():
    model = build("byol", masker_node(OneConvolution), **{"adversary.side": "both", "knn_eval.enabled": True})
    batch = in_memory_format(model, batch_of())
    before = {key: value.clone() for key, value in model.named_buffers()}
    with torch.no_grad():
        clean = getattr(model, load_host().backbone)(batch[1][0])
    model.load_state_dict(before, strict=False)
    seen = []
    model.classifier.register_forward_hook(lambda _, args, out: seen.append(args[0].detach()))
    model.training_step(batch, 0)
    for features in seen:
        torch.testing.assert_close(features, clean)
    assert not any((labels >= 0).any() for labels in model.knn.train_targets)
