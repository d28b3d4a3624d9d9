"""What one step passes from hook to hook, and what it leaves behind."""

import gc
import warnings
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.nn import functional as F

from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.constraints.base import Constraint
from amask_solo.game.adversary import schedule_factor
from amask_solo.hard_views import HardView
from amask_solo.hosts.installed import load_host
from amask_solo.masked.method import wrap
from tests.players import QUIET, NothingHidden, OneConvolution, attach, batch_of, build, fit, masker_node
from tests.tiny import thin_networks, tiny_cfg, tiny_loaders

pytestmark = pytest.mark.host
both_rules = pytest.mark.parametrize("update", ["reversal", "alternating"])

SGD = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5}


def node(kind, **arguments):
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **arguments}


class FrozenWeight(Constraint):
    """A constraint of a user's, with a weight that is not learned."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, masks):
        return self.weight * masks.mean()


@pytest.mark.parametrize("setting", [{"update": "alternating"}, {"steps": 2}])
def test_a_constraint_may_have_a_frozen_parameter(setting):
    settings = {f"adversary.{key}": value for key, value in setting.items()}
    model = build("simclr", masker_node(OneConvolution), **{"adversary.constraint": node(FrozenWeight)}, **settings)
    before = [p.clone() for p in model.adversary.learned()]
    fit(model, batches=1, epochs=1)
    assert all(bool((a != b).any()) for a, b in zip(before, model.adversary.learned(), strict=True))
    assert model.adversary.game.constraint.weight == 1


class OneMore(HardView):
    """A hard view of a user's that yields another entry than it says."""

    def forward(self, entries, loss, *, generator=None):
        for entry in entries:
            yield entry.harder(entry.views[entry.side], share=0.5)
            yield entry.harder(entry.views[entry.side], share=0.5)


def test_a_queue_is_not_left_to_a_hard_view_that_miscounts():
    model = build("mocov2plus", masker_node(OneConvolution), **{"adversary.hard_views": node(OneMore)})
    attach(model)
    with pytest.raises(ValueError, match="set its num_entries"):
        model.training_step(batch_of(), 0)


class Rates(Callback):
    """The learning rates of the masker's steps."""

    def __init__(self, end=None):
        self.seen, self.end = [], end

    def on_train_start(self, trainer, model):
        optimizer = model.adversary.optimizer
        optimizer.register_step_pre_hook(lambda *_: self.seen.extend(group["lr"] for group in optimizer.param_groups))

    def on_train_batch_end(self, trainer, model, *_):
        trainer.should_stop = trainer.global_step == self.end


@both_rules
def test_the_learning_rate_follows_the_steps_not_the_epochs(update):
    settings = {"update": update, "schedule": "cosine", "warmup": 0.5, "optimizer": SGD}
    rates = Rates()
    model = build("simclr", masker_node(OneConvolution), **{f"adversary.{k}": v for k, v in settings.items()})
    fit(model, batches=4, epochs=2, callbacks=[rates])
    factor = partial(schedule_factor, schedule="cosine", warmup=0.5)
    assert rates.seen == pytest.approx([0.5 * factor(step / 8) for step in range(8)])


@pytest.mark.parametrize(("name", "start"), [("simclr", 1), ("deepclusterv2", 0)])
@pytest.mark.parametrize("accumulated", [1, 2])
@both_rules
def test_the_schedule_of_a_masker_that_starts_later_begins_with_it(name, start, accumulated, update):
    settings = {"update": update, "start_epoch": start, "schedule": "cosine", "warmup": 0.5, "optimizer": SGD}
    rates, accumulate = Rates(), {"accumulate_grad_batches": accumulated}
    settings = {f"adversary.{k}": v for k, v in settings.items()} | accumulate
    fit(build(name, masker_node(OneConvolution), **settings), batches=4, epochs=2, callbacks=[rates], **accumulate)
    steps = 4 // accumulated
    factor = partial(schedule_factor, schedule="cosine", warmup=0.5)
    assert rates.seen == pytest.approx([0.5 * factor(step / steps) for step in range(steps)])


def test_further_moves_have_the_rate_of_their_step():
    settings = {"steps": 3, "schedule": "cosine", "warmup": 0.5, "optimizer": SGD}
    rates = Rates()
    model = build("simclr", masker_node(OneConvolution), **{f"adversary.{k}": v for k, v in settings.items()})
    fit(model, batches=2, epochs=1, callbacks=[rates])
    assert rates.seen == [0.0] * 3 + [0.5] * 3


@pytest.mark.parametrize(("warmup", "steps"), [(0.1, 0), (0.0, 3)])
def test_a_training_without_an_end_has_no_shares_to_warm_up_over(warmup, steps):
    settings = {"adversary.warmup": warmup, "adversary.optimizer": SGD, "scheduler.name": "none"}
    model, rates = build("simclr", masker_node(OneConvolution), **settings), Rates(end=3)
    if warmup:
        with pytest.raises(ValueError, match="with an end"):
            fit(model, batches=4, epochs=-1, callbacks=[rates])
    else:
        fit(model, batches=4, epochs=-1, callbacks=[rates])
    assert rates.seen == [0.5] * steps


def test_a_second_training_does_not_take_up_the_checkpoint_of_the_first(tmp_path):
    first, _ = fit(build("simclr", masker_node(OneConvolution)), batches=2, epochs=1)
    first.save_checkpoint(tmp_path / "kept.ckpt")
    model = build("simclr", masker_node(OneConvolution))
    moves = []
    for checkpoint in (tmp_path / "kept.ckpt", None):
        Trainer(**QUIET, max_epochs=2).fit(model, *tiny_loaders(2), ckpt_path=checkpoint)
        (state, *_) = model.adversary.optimizer_state()["state"].values()
        moves.append(int(state["step"]))
    assert moves == [2 + 2, 4]


class Tensors(Callback):
    """How many tensors with the shape of the masks there are: in the backward pass, and between two steps."""

    def __init__(self, model, shape):
        self.shape, self.backward, self.between = shape, [], []
        weight = getattr(model, load_host().backbone).conv1.weight
        weight.register_hook(lambda _: self.backward.append(self.count()))

    def on_train_batch_start(self, *_):
        self.between.append(self.count())

    def count(self):
        return sum(type(found) is torch.Tensor and found.shape == self.shape for found in gc.get_objects())


@both_rules
def test_no_masks_are_kept_that_nobody_reads(update):
    settings = {"adversary.update": update, "adversary.draw": "all"}
    model = build("simclr", masker_node(OneConvolution, num_masks=5), **settings)
    tensors = Tensors(model, (8, 5, 32, 32))
    Trainer(**QUIET, max_epochs=1, callbacks=[GameMonitor(), tensors], log_every_n_steps=2).fit(model, *tiny_loaders(3))
    assert tensors.between == [0, 0, 0]
    # The second step and the last one are logged, by a monitor that keeps what it reads until then.
    first, *logged = tensors.backward
    assert first == (update == "reversal")  # those of its graph
    assert all(logged)


def own_method(*, classifies: bool):
    simclr = load_host().methods()["simclr"]

    class Own(simclr):
        def training_step(self, batch, batch_idx):
            features = getattr(self, load_host().backbone)(batch[1][1])
            loss = self.projector(features).square().mean()
            if classifies:
                class_loss = F.cross_entropy(self.classifier(features.detach()), batch[2])
                self.log("loss_of_the_classifier", class_loss)
                loss = loss + class_loss
            return loss

    with thin_networks():
        return wrap(Own)(tiny_cfg("amask_simclr", **{"adversary.masker": masker_node(NothingHidden)}))


def test_a_host_whose_class_loss_cannot_be_told_apart_is_named():
    model = own_method(classifies=True)
    attach(model)
    with pytest.warns(UserWarning, match="AmaskOwn calls its online classifier.* counts as a part of the game"):
        model.training_step(batch_of(), 0)


def test_a_host_without_an_online_classifier_is_in_order():
    model = own_method(classifies=False)
    attach(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.training_step(batch_of(), 0)


def test_quiet_calls_show_the_online_knn_nothing():
    settings = {"knn_eval.enabled": True, "adversary.draw": "all"}
    model = build("simclr", masker_node(OneConvolution, num_masks=3), **settings)
    attach(model)
    model.training_step(batch_of(), 0)
    assert sum((labels >= 0).sum() for labels in model.knn.train_targets) == 8
