"""What was broken in the host works: each test fails on the unrepaired class."""

import math
import multiprocessing

import pytest
import torch
from lightning.pytorch import Callback
from torch import distributed
from torch.utils.data import DataLoader, TensorDataset

from amask_solo.hosts.knn import WeightedKNN
from amask_solo.hosts.lars import LARS
from amask_solo.hosts.optimizers import LinearWarmupCosineAnnealingLR
from tests.tiny import tiny_loaders, tiny_trainer

# ---------------------------------------------------------------- LARS


def lars_by_hand(weight, gradients, *, lr, momentum, decay, eta, clip, exclude, nesterov):
    """The formula in plain steps, one weight at a time."""
    velocity = None
    for gradient in gradients:
        step = gradient
        if weight.dim() != 1 or not exclude:
            w, g = float(weight.norm()), float(gradient.norm())
            if w > 0 and g > 0:
                rate = eta * w / (g + decay * w + 1e-8)
                step = (gradient + decay * weight) * (min(rate / lr, 1) if clip else rate)
        velocity = step if velocity is None else momentum * velocity + step
        moved = step + momentum * velocity if nesterov else velocity
        weight = weight - lr * (moved if momentum else step)
    return weight


CASES = [
    {"momentum": 0.9, "clip": False, "exclude": False, "nesterov": False},
    {"momentum": 0.9, "clip": True, "exclude": True, "nesterov": False},
    {"momentum": 0.9, "clip": False, "exclude": True, "nesterov": True},
    {"momentum": 0.0, "clip": True, "exclude": False, "nesterov": False},
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", [(4, 3), (5,)])
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_lars_follows_its_formula(case, shape, scale):
    torch.manual_seed(0)
    start = torch.randn(shape, dtype=torch.float64) * scale
    gradients = [torch.randn(shape, dtype=torch.float64) for _ in range(3)]
    weight = torch.nn.Parameter(start.clone())
    optimizer = LARS(
        [weight],
        lr=0.3,
        momentum=case["momentum"],
        weight_decay=0.1,
        eta=0.02,
        clip_lr=case["clip"],
        exclude_bias_n_norm=case["exclude"],
        nesterov=case["nesterov"],
    )
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    expected = lars_by_hand(start, gradients, lr=0.3, decay=0.1, eta=0.02, **case)
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize("case", CASES)
def test_lars_moves_as_the_current_hosts_lars_does(host, case):
    if host.generation == "release":
        pytest.skip("the release has no such optimizer")
    from solo.utils.lars import LARS as HostLARS

    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, 3) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    options = {
        "lr": 0.3,
        "weight_decay": 0.1,
        "momentum": case["momentum"],
        "clip_lr": case["clip"],
        "exclude_bias_n_norm": case["exclude"],
        "nesterov": case["nesterov"],
    }
    optimizers = [kind(layer.parameters(), **options) for kind, layer in zip((LARS, HostLARS), layers, strict=True)]
    for _ in range(3):
        images = torch.randn(5, 4)
        for layer, optimizer in zip(layers, optimizers, strict=True):
            optimizer.zero_grad()
            layer(images).square().sum().backward()
            optimizer.step()
    for ours, theirs in zip(*(layer.parameters() for layer in layers), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_lars_is_lars_under_automatic_optimization(build, host):
    lars = {"name": "lars", "kwargs": {"eta": 0.002, "momentum": 0.0}}
    options = {f"optimizer.{key}": value for key, value in lars.items()}
    model = build("simclr", **options, scheduler={"name": "none"}, max_epochs=1)
    weight = getattr(model, host.backbone).conv1.weight
    before = weight.detach().clone()
    tiny_trainer(max_epochs=1).fit(model, tiny_loaders(1)[0])
    moved = float((weight.detach() - before).norm() / before.norm())
    # The step is eta * lr times the norm of the weights, whatever the gradient (but for decay).
    assert moved == pytest.approx(0.002 * 0.01, rel=1e-2)


def test_lars_refuses_nesterov_without_momentum():
    with pytest.raises(ValueError, match="Expected momentum above 0"):
        LARS([torch.nn.Parameter(torch.ones(1))], lr=0.1, nesterov=True)


# ---------------------------------------------------------------- learning rates


class LearningRates(Callback):
    """The learning rates that each step was made with."""

    def __init__(self) -> None:
        self.seen = []

    def on_before_optimizer_step(self, trainer, module, optimizer) -> None:
        self.seen.append([group["lr"] for group in optimizer.param_groups])


def rates(model, **options):
    callback = LearningRates()
    tiny_trainer(callbacks=[callback], **options).fit(model, tiny_loaders()[0])
    return callback.seen


def test_without_warmup_every_group_starts_at_its_own_rate(build):
    seen = rates(build("simclr", **{"scheduler.warmup_epochs": 0}))
    cosine = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert [lrs[0] for lrs in seen] == pytest.approx([0.01 * c for c in cosine])
    assert [lrs[1] for lrs in seen] == pytest.approx([0.02 * c for c in cosine])


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_the_interval_of_the_schedule_is_the_cfgs(build, interval):
    seen = [lrs[0] for lrs in rates(build("simclr", **{"scheduler.interval": interval}))]
    by_step = [0.001, 0.01, 0.01, 0.005]
    assert seen == pytest.approx(by_step if interval == "step" else [0.001, 0.001, 0.01, 0.01])


@pytest.mark.parametrize(
    ("interval", "epochs", "expected"),
    [
        ("step", 0.6, [0.001, 0.01, 0.0075, 0.0025]),
        ("step", 1.2, [0.001, 0.01, 0.01, 0.005]),
        ("epoch", 0.2, [0.01, 0.01, 0.005, 0.005]),
        ("epoch", 1.1, [0.001, 0.001, 0.01, 0.01]),
    ],
)
def test_a_warmup_of_a_part_of_a_step_is_rounded_and_never_exceeds_the_rate(build, interval, epochs, expected):
    seen = rates(build("simclr", **{"scheduler.interval": interval, "scheduler.warmup_epochs": epochs}))
    assert [lrs[0] for lrs in seen] == pytest.approx(expected)


def test_a_static_learning_rate_stays_after_a_resume(build, tmp_path):
    model, trainer = build("simsiam"), tiny_trainer(max_epochs=1)
    trainer.fit(model, tiny_loaders()[0])
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    resumed, callback = build("simsiam"), LearningRates()
    trainer = tiny_trainer(callbacks=[callback])
    trainer.fit(resumed, tiny_loaders()[0], ckpt_path=tmp_path / "last.ckpt")
    assert [lrs[3] for lrs in callback.seen] == pytest.approx([0.01, 0.01])


@pytest.mark.parametrize(
    ("batches", "options", "steps"),
    [(4, {"limit_train_batches": 0.5}, 4), (4, {"max_steps": 3}, 3), (5, {"accumulate_grad_batches": 4}, 4)],
)
def test_the_momentum_rises_with_the_steps_that_the_training_has(build, batches, options, steps):
    class Momentum(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
            taus.setdefault(trainer.global_step - 1, module.momentum_updater.cur_tau)  # with which this step is made

    taus = {}
    cfg = {"accumulate_grad_batches": options.get("accumulate_grad_batches", 1)}
    trainer = tiny_trainer(callbacks=[Momentum()], limit_val_batches=0, **options)
    trainer.fit(model := build("byol", **cfg), tiny_loaders(batches)[0])
    expected = [0.9 + 0.1 * (1 - math.cos(math.pi * step / steps)) / 2 for step in range(steps + 1)]
    assert [taus[step] for step in range(steps)] == pytest.approx(expected[:-1])
    assert float(trainer.callback_metrics["tau"]) == pytest.approx(expected[-2])
    assert model.momentum_updater.cur_tau == pytest.approx(expected[-1])


def test_steps_decay_the_learning_rate_by_epoch(build):
    seen = rates(build("simclr", scheduler={"name": "step", "lr_decay_steps": [1]}))
    assert [lrs[0] for lrs in seen] == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_biases_can_be_left_out_of_the_weight_decay(build):
    model = build("simclr", **{"optimizer.exclude_bias_n_norm_wd": True, "scheduler.name": "none"})
    for group in model.configure_optimizers().param_groups:
        for weight in group["params"]:
            assert weight.ndim > 1 or group["weight_decay"] == 0


def test_the_schedule_stays_at_its_end():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = LinearWarmupCosineAnnealingLR(optimizer, 2, 4, warmup_start_lr=0.5, eta_min=0.1)
    seen = []
    for _ in range(7):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert seen == pytest.approx([0.5, 1.0, 1.0, 0.55, 0.1, 0.1, 0.1])


# ---------------------------------------------------------------- labels and kNN


def test_a_batch_without_labels_has_a_finite_loss(build):
    model = build("byol", **{"momentum.classifier": True, "knn_eval": {"enabled": True}})
    trainer = tiny_trainer(max_epochs=1)
    trainer.fit(model, *tiny_loaders(1, labels=False))
    assert trainer.callback_metrics["train_class_loss"] == 0
    assert trainer.callback_metrics["train_momentum_class_loss"] == 0
    assert trainer.callback_metrics["val_knn_acc1"] == -1
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_accuracies_are_those_of_the_images_with_a_label(build, host):
    model = build("byol", **{"momentum.classifier": True}).eval()
    model.momentum_classifier.load_state_dict(model.classifier.state_dict())  # the backbones are equal as well
    images = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.classifier(getattr(model, host.backbone)(images))
    labels = logits.argmax(dim=1)
    labels[4] = (labels[4] + 1) % 4
    labels[5:] = -1  # of the second batch but for one image, which is wrong, and of all of the third
    trainer = tiny_trainer()
    trainer.validate(model, DataLoader(TensorDataset(images, labels), batch_size=4), verbose=False)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    loss = float(torch.nn.functional.cross_entropy(logits[:5], labels[:5]))
    for prefix in ("val", "momentum_val"):
        assert [found[f"{prefix}_{name}"] for name in ("acc1", "acc5", "loss")] == pytest.approx(
            [80, 100, loss], rel=1e-4
        )


def knn_by_hand(train, train_targets, test, k, cosine):
    predictions = []
    for feature in test:
        if cosine:
            near = torch.nn.functional.cosine_similarity(feature[None], train)
            weights = [math.exp(float(s) / 0.07) for s in near]
        else:
            weights = [1 / (float((feature - other).norm()) + 1e-5) for other in train]
        votes = {}
        for index in sorted(range(len(train)), key=lambda i: -weights[i])[:k]:
            label = int(train_targets[index])
            votes[label] = votes.get(label, 0) + weights[index]
        predictions.append(max(votes, key=votes.get))
    return torch.tensor(predictions)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_knn_agrees_with_a_vote_by_hand(distance):
    torch.manual_seed(0)
    train, test = torch.randn(30, 3), torch.randn(20, 3)
    labels, wanted = torch.arange(30) % 7, torch.arange(20) % 3  # four classes are not validated
    knn = WeightedKNN(k=5, distance=distance)
    for part in range(3):
        chunk = slice(10 * part, 10 * part + 10)
        assert knn(train_features=train[chunk], train_targets=labels[chunk]) is None
    knn(test_features=test, test_targets=wanted)
    top1, top5 = knn.compute()
    expected = knn_by_hand(train, labels, test, 5, distance == "cosine")
    assert top1 == pytest.approx(100 * float((expected == wanted).float().mean()))
    assert top5 >= top1
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert knn.compute() == (-1, -1)  # the epoch is forgotten


def test_knn_leaves_out_samples_without_a_label():
    knn = WeightedKNN(k=1)
    features = torch.tensor([[0.0], [1.0], [2.0]])
    knn(train_features=features, train_targets=torch.tensor([0, -1, 1]))
    knn(test_features=features, test_targets=torch.tensor([0, -1, 1]))
    assert knn.compute() == (100, 100)


def _score_half(rank: int, meeting: str, said) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    features, labels = torch.eye(4)[rank::2], torch.arange(4)[rank::2]
    knn = WeightedKNN(k=1)
    for _ in range(2):
        knn(train_features=features, train_targets=labels)
        # What this process validates, the other has seen.
        knn(test_features=features.flip(1), test_targets=3 - labels)
        said.put(knn.compute())
    distributed.destroy_process_group()


def test_two_processes_score_what_both_have_collected_in_each_epoch(tmp_path):
    fork = multiprocessing.get_context("fork")
    said = fork.SimpleQueue()
    processes = [fork.Process(target=_score_half, args=(rank, str(tmp_path / "meeting"), said)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [said.get() for _ in range(4)] == 4 * [(100, 100)]


def test_knn_refuses_an_unknown_distance():
    with pytest.raises(ValueError, match="Expected distance"):
        WeightedKNN(distance="manhattan")


# ---------------------------------------------------------------- single methods


def test_dino_clips_by_its_own_rule_and_by_lightnings(build, host):
    model = build("dino", **{"method_kwargs.clip_grad": 0.01, "max_epochs": 1})
    largest = []

    class Norms(Callback):
        def on_before_zero_grad(self, trainer, module, optimizer) -> None:
            weights = getattr(module, host.backbone).parameters()
            largest.extend(float(w.grad.norm()) for w in weights if w.grad is not None)

    trainer = tiny_trainer(max_epochs=1, callbacks=[Norms()], gradient_clip_val=1e-4)
    trainer.fit(model, tiny_loaders()[0])
    assert 0 < max(largest) <= 1.01e-4


def test_whitened_features_have_the_identity_as_covariance(build):
    model = build("wmse", **{"method_kwargs.whitening_eps": 0.0})
    torch.manual_seed(0)
    white = model.whitening(torch.randn(64, 4) @ torch.randn(4, 4) + 3)
    torch.testing.assert_close(white.T.cov(), torch.eye(4), atol=1e-4, rtol=1e-4)


def test_a_resume_with_another_batch_size_says_what_does_not_fit(build, tmp_path):
    from amask_solo.errors import UserError

    model, trainer = build("deepclusterv2"), tiny_trainer(max_epochs=1)
    trainer.fit(model, tiny_loaders(2)[0])
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="local_memory"):
        tiny_trainer().fit(build("deepclusterv2"), tiny_loaders(3)[0], ckpt_path=tmp_path / "last.ckpt")
