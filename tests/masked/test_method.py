"""Contracts that hold for every method of the host, whichever generation it is."""

import itertools
from copy import deepcopy
from functools import cache

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from amask_solo.errors import UserError
from amask_solo.hosts.installed import load_host
from amask_solo.masked.clean_view import in_memory_format
from amask_solo.masked.method import wrap
from amask_solo.masked.side_effects import class_losses
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
both_rules = pytest.mark.parametrize("update", ["reversal", "alternating"])


@cache
def stock_run(name: str) -> tuple[Trainer, Trace]:
    return fit(build(name))


def host_state(model) -> dict[str, torch.Tensor]:
    return {k: v for k, v in model.state_dict().items() if not k.startswith("adversary.")}


@pytest.mark.parametrize("name", METHODS)
def test_with_masks_of_zero_the_method_is_the_stock_method(name):
    stock, stock_trace = stock_run(name)
    masked, trace = fit(build(name, masker_node(NothingHidden)))
    expected, got = host_state(stock.model), host_state(masked.model)
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}")
    for key, value in stock.callback_metrics.items():
        torch.testing.assert_close(
            masked.callback_metrics[key],
            value,
            rtol=1e-3,
            atol=1e-3,
            equal_nan=True,
            msg=lambda m, k=key: f"{k}: {m}",
        )
    assert trace.rates == stock_trace.rates


@both_rules
@pytest.mark.parametrize("name", KINDS)
def test_steps_tau_and_learning_rates_are_those_of_the_stock_run(name, update):
    _, stock = stock_run(name)
    model = build(name, masker_node(OneConvolution), **{"adversary.update": update, "adversary.draw": "all"})
    before = [p.clone() for p in model.adversary.learned()]
    _trainer, trace = fit(model)
    assert trace.steps == [1, 2, 3, 4] == stock.steps
    assert trace.rates == stock.rates
    assert trace.tau == pytest.approx(stock.tau)
    assert all(bool((a != b).any()) for a, b in zip(before, model.adversary.learned(), strict=True))
    assert torch.isfinite(trace.turn.loss)


@every_method
def test_one_call_a_batch_leaves_traces_however_many_masks_there_are(name):
    stock, _ = fit(build(name), batches=1, epochs=1, limit_val_batches=0)
    model = build(name, masker_node(NothingHidden, num_masks=3), **{"adversary.draw": "all"})
    masked, _ = fit(model, batches=1, epochs=1, limit_val_batches=0)
    buffers = {k for k, _ in stock.model.named_buffers()}
    assert buffers
    # Queues of methods that draw random numbers in each call (dropout, permutations) are still written once.
    for key in buffers:
        if model.side == 0 and "running" in key:
            continue  # with the first view masked, the clean one is encoded before it: the averages swap their order
        a, b = host_state(stock.model)[key], host_state(model)[key]
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}")
    ours = ("masks/", "adversary/", "encoder/", "lr")  # the learning rate is logged by the monitor, for stock runs too
    assert {k for k in masked.callback_metrics if not k.startswith(ours)} == stock.callback_metrics.keys()


@pytest.mark.parametrize("name", ["byol", "simclr", "simsiam", "mocov2plus", "barlow_twins"])
def test_encoding_the_clean_view_once_changes_neither_loss_nor_gradients(name, double):
    model = build(name, masker_node(OneConvolution, num_masks=4), **{"adversary.draw": "all"}).double()
    batch = batch_of(dtype=torch.float64)
    passes = []
    backbone = getattr(model, load_host().backbone)
    backbone.conv1.register_forward_hook(lambda *_: passes.append(1))

    loss = model.training_step(batch, 0)
    assert len(passes) == 1 + 4  # one clean view, four masked ones
    loss.backward()
    got = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}

    model = build(name, masker_node(OneConvolution, num_masks=4), **{"adversary.draw": "all"}).double()
    indexes, (clean, view), targets = batch
    masks = model.adversary.game.propose(view)
    stock = load_host().stock(name)
    content = model.adversary.game.fill(view)
    total, class_loss = 0.0, None
    before = {k: b.clone() for k, b in model.named_buffers()}
    for mask in masks.split(1, dim=1):
        for key, _buffer in model.named_buffers():
            owner, _, leaf = key.rpartition(".")
            model.get_submodule(owner)._buffers[leaf] = before[key].clone()
        hard = torch.lerp(view, content, mask)
        with class_losses(model) as heard:
            out = stock.training_step(model, [indexes, [clean, hard], targets], 0)
        class_loss = sum(heard)
        total = total + (out - class_loss) / 4
    parameters = {k: p for k, p in model.named_parameters() if "classifier" not in k and p.requires_grad}
    gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    torch.testing.assert_close(model.adversary.game.constraint(masks) * 0 + total, total)
    for (key, _), expected in zip(parameters.items(), gradients, strict=True):
        if expected is None:
            assert key not in got
            continue
        sign = -1 if key.startswith("adversary.") else 1
        torch.testing.assert_close(got[key], sign * expected, rtol=1e-5, atol=1e-9, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("draw", ["one", "all"])
def test_the_losses_of_online_classifiers_are_no_part_of_the_game(draw):
    settings = {"adversary.draw": draw}
    without = build("byol", masker_node(OneConvolution), **settings)
    model = build("byol", masker_node(OneConvolution), **settings, **{"momentum.classifier": True})
    model.load_state_dict(without.state_dict(), strict=False)
    for each in (without, model):
        attach(each)
        loss = each.training_step(batch_of(), 0)
    torch.testing.assert_close(model.step.turn.loss, without.step.turn.loss)
    loss.backward()
    assert model.momentum_classifier.weight.grad.abs().sum() > 0


def test_a_model_can_be_copied_after_a_step_and_keeps_nothing_of_it():
    model = build("simclr", masker_node(OneConvolution), **{"adversary.start_epoch": 1})
    fit(model, epochs=2)
    assert model.step is None
    copied = deepcopy(model)
    assert copied.adversary.masker is not model.adversary.masker


@pytest.mark.parametrize("name", ["byol", "simclr", "simsiam", "mocov2plus", "ressl"])
def test_at_equal_weights_both_rules_give_the_same_gradients(name, double):
    gradients = {}
    for update in ("reversal", "alternating"):
        model = build(
            name,
            masker_node(OneConvolution),
            **{
                "adversary.update": update,
                "adversary.draw": "all",
                "adversary.constraint": "inverse_sine",
            },
        ).double()
        attach(model)
        batch = batch_of(dtype=torch.float64)
        model.training_step(batch, 0).backward()
        if update == "alternating":
            assert all(p.grad is None for p in model.adversary.parameters())
            model._masker_turn(model.step)
        gradients[update] = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    assert gradients["reversal"].keys() == gradients["alternating"].keys()
    assert any(k.startswith("adversary.") for k in gradients["reversal"])
    for key, expected in gradients["reversal"].items():
        torch.testing.assert_close(gradients["alternating"][key], expected, rtol=1e-8, atol=1e-12)


@both_rules
def test_the_masker_ascends_on_the_loss(update):
    model = build(
        "simclr",
        masker_node(OneConvolution),
        **{"adversary.update": update, "adversary.draw": "all"},
    )
    attach(model)
    batch = batch_of()
    model.training_step(batch, 0).backward()
    if update == "alternating":
        model._masker_turn(model.step)
    before = float(model.step.turn.loss)
    with torch.no_grad():
        for p in model.adversary.learned():
            p.sub_(0.5 * p.grad / p.grad.norm())
    model.training_step(batch, 0)
    assert float(model.step.turn.loss) > before


@both_rules
def test_accumulation_and_clipping_work(update):
    model = build(
        "byol",
        masker_node(OneConvolution),
        accumulate_grad_batches=2,
        **{"adversary.update": update},
    )
    before = [p.clone() for p in model.adversary.learned()]
    _trainer, trace = fit(model, batches=4, epochs=1, accumulate_grad_batches=2, gradient_clip_val=0.1)
    assert trace.steps == [0, 1, 1, 2]
    assert all(bool((a != b).any()) for a, b in zip(before, model.adversary.learned(), strict=True))


def test_accumulated_gradients_of_the_masker_are_those_of_the_alternating_rule_too():
    norms = {}
    for update in ("reversal", "alternating"):
        model = build(
            "simclr",
            masker_node(OneConvolution),
            accumulate_grad_batches=2,
            **{
                "adversary.update": update,
                "adversary.draw": "all",
                "optimizer.lr": 0.0,
                "scheduler.name": "none",
                "adversary.optimizer": {
                    "_target_": "torch.optim.SGD",
                    "_partial_": True,
                    "lr": 1.0,
                },
            },
        )
        before = torch.cat([p.detach().flatten().clone() for p in model.adversary.learned()])
        fit(model, batches=2, epochs=1, accumulate_grad_batches=2)
        norms[update] = torch.cat([p.detach().flatten() for p in model.adversary.learned()]) - before
    torch.testing.assert_close(norms["alternating"], norms["reversal"], rtol=1e-3, atol=1e-6)


def test_the_masker_moves_in_every_kth_step_only():
    model = build("simclr", masker_node(OneConvolution), **{"adversary.every": 3})
    seen = []

    class Watch(Trace):
        def on_train_batch_end(self, trainer, module, *args):
            seen.append(torch.cat([p.detach().flatten().clone() for p in module.adversary.learned()]))

    fit(model, batches=5, epochs=1, callbacks=[Watch()])
    moved = [bool((a != b).any()) for a, b in itertools.pairwise(seen)]
    assert moved == [False, False, True, False]


def test_before_start_epoch_nothing_is_hidden():
    model = build("simclr", masker_node(OneConvolution), **{"adversary.start_epoch": 1})
    _, trace = fit(model, epochs=1)
    assert trace.turn is None
    stock, _ = fit(build("simclr"), epochs=1)
    for key, value in host_state(stock.model).items():
        torch.testing.assert_close(host_state(model)[key], value)


@both_rules
def test_deepcluster_has_no_signal_in_its_first_epoch_and_the_masker_rests(update):
    model = build("deepclusterv2", masker_node(OneConvolution), **{"adversary.update": update})
    before = [p.clone() for p in model.adversary.learned()]
    fit(model, epochs=1)
    assert all(torch.equal(a, b) for a, b in zip(before, model.adversary.learned(), strict=True))


@pytest.mark.parametrize("name", [n for n in ("byol", "simclr", "mocov2plus") if n in METHODS])
@both_rules
def test_bf16_mixed_works(name, update):
    model = build(name, masker_node(OneConvolution), **{"adversary.update": update})
    _, trace = fit(model, epochs=1, precision="bf16-mixed")
    assert torch.isfinite(trace.turn.loss)


def fp16(scale: float = 2.0**10):
    from lightning.pytorch.plugins.precision import MixedPrecision

    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return [MixedPrecision("16-mixed", device="cpu", scaler=scaler)]


def test_16_mixed_unscales_the_gradients_of_the_masker():
    moved = {}
    sgd = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 1.0}
    for name, plugins in (("full", None), ("half", fp16())):
        model = build(
            "simclr",
            masker_node(OneConvolution),
            **{"adversary.draw": "all", "adversary.optimizer": sgd},
        )
        before = torch.cat([p.detach().flatten().clone() for p in model.adversary.learned()])
        fit(model, batches=1, epochs=1, plugins=plugins)
        moved[name] = torch.cat([p.detach().flatten() for p in model.adversary.learned()]) - before
    half, full = moved["half"], moved["full"]
    assert torch.cosine_similarity(half, full, dim=0) > 0.8
    assert 0.7 < half.norm() / full.norm() < 1.4  # without unscaling it would be 1024


@pytest.mark.parametrize(
    "setting", [{"adversary.update": "alternating"}, {"adversary.memory_efficient": True, "adversary.draw": "all"}]
)
def test_16_mixed_is_refused_where_a_gradient_is_taken_without_the_scaler(setting):
    model = build("simclr", masker_node(OneConvolution), **setting)
    with pytest.raises(UserError, match="bf16-mixed"):
        fit(model, epochs=1, plugins=fp16())


@both_rules
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(update, tmp_path):
    # A constraint that is learned is resumed with the masker.
    settings = {"adversary.update": update, "adversary.schedule": "cosine", "adversary.constraint": "shape_prior"}

    whole = build("byol", masker_node(OneConvolution), **settings)
    fit(whole, epochs=4)

    class Stop(Trace):
        def on_train_epoch_end(self, trainer, module):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    fit(build("byol", masker_node(OneConvolution), **settings), epochs=4, callbacks=[Stop()])
    checkpoint = torch.load(tmp_path / "half.ckpt", weights_only=True)
    assert checkpoint["adversary"]["optimizer"]["state"]

    resumed = build("byol", masker_node(OneConvolution), **settings)
    torch.manual_seed(1)
    from tests.players import QUIET
    from tests.tiny import tiny_loaders

    trainer = Trainer(**QUIET, max_epochs=4)
    trainer.fit(resumed, *tiny_loaders(2), ckpt_path=tmp_path / "half.ckpt")
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(
            resumed.state_dict()[key], value, rtol=1e-4, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}"
        )


def test_online_evaluation_learns_from_clean_features_only():
    model = build("simclr", masker_node(OneConvolution), **{"knn_eval.enabled": True})
    batch = in_memory_format(model, batch_of())
    seen = []
    model.classifier.register_forward_hook(lambda _, args, out: seen.append(args[0].detach()))
    model.training_step(batch, 0)
    first, second = seen
    assert torch.equal(first, second)  # the masked view's features never reach the classifier
    assert sum((labels >= 0).sum() for labels in model.knn.train_targets) == 8


def test_a_run_without_labels_trains_with_finite_losses():
    trainer, _ = fit(build("byol", masker_node(OneConvolution)), labels=False)
    assert torch.isfinite(trainer.callback_metrics["train_class_loss_epoch"])


def test_two_runs_with_the_same_seed_are_the_same_run():
    losses = [float(fit(build("simclr", masker_node(OneConvolution)))[1].turn.loss) for _ in range(2)]
    assert losses[0] == losses[1]


def test_the_loud_call_can_be_on_clean_views():
    model = build("simclr", masker_node(OneConvolution), **{"adversary.loud": "clean"})
    passes = []
    getattr(model, load_host().backbone).conv1.register_forward_hook(lambda *_: passes.append(1))
    seen = []
    model.classifier.register_forward_hook(lambda _, args, out: seen.append(args[0].detach()))
    model.training_step(batch_of(), 0)
    assert len(passes) == 3
    assert not torch.equal(seen[-1], seen[-2])  # both clean views


def test_mae_is_refused_with_the_reason():
    # It stands for the current host's, which the release lacks.
    mae = type("MAE", (LightningModule,), {"__module__": "solo.methods.mae"})
    with pytest.raises(UserError, match="hides patches"):
        wrap(type("Own", (mae,), {}))
