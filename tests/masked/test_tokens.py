"""Hidden patches are left out of a vision transformer, of the host's and of timm's."""

import pytest
import torch
from torch.nn import functional as F

from amask_solo.constraints import WeightedSum
from amask_solo.errors import UserError
from amask_solo.fills import Noise, Zero
from amask_solo.game.game import Game
from amask_solo.hard_views import CutMix
from amask_solo.hosts.installed import load_host
from amask_solo.masked.clean_view import in_memory_format
from amask_solo.masked.tokens import TokenDrop, count_hidden
from amask_solo.maskers import Grid, MixtureMasker, NoMasks, RandomMasker, SequentialMasker, SimultaneousMasker
from amask_solo.occlusion import carry, occlude
from amask_solo.projections import AreaBudget, Binary, Disjoint, GumbelTopK, Patches, Sigmoid, Softmax
from tests.players import attach, batch_of, build, fit, masker_node

pytestmark = pytest.mark.host
SIZE, PATCH = 32, 8
CELLS = (SIZE // PATCH) ** 2
SHAPE = {"img_size": SIZE, "patch_size": PATCH}
NARROW = {**SHAPE, "embed_dim": 48, "depth": 2, "num_heads": 3}
BACKBONES = {
    "host": {"name": "vit_tiny", "kwargs": SHAPE},
    "timm": {"name": "timm/vit_tiny_patch16_224", "kwargs": NARROW},
    "mean": {"name": "timm/vit_tiny_patch16_224", "kwargs": {**NARROW, "global_pool": "avg"}},
    "no class": {"name": "timm/vit_medium_patch16_gap_240", "kwargs": NARROW},
    "registers": {"name": "timm/vit_wee_patch16_reg1_gap_256", "kwargs": NARROW},
    "distilled": {"name": "timm/deit_tiny_distilled_patch16_224", "kwargs": NARROW},
}
kinds = pytest.mark.parametrize("kind", BACKBONES)
GUMBEL = {
    "_target_": "amask_solo.maskers.SimultaneousMasker",
    "num_masks": 1,
    "projection": {
        "_target_": "amask_solo.projections.Patches",
        "patch_size": PATCH,
        "inner": {"_target_": "amask_solo.projections.GumbelTopK", "area": 0.5},
    },
}
RANDOM = masker_node(RandomMasker, area=0.5, pattern={"_target_": "amask_solo.maskers.Grid", "patch": PATCH})


def network(kind):
    model = build("simclr", backbone=BACKBONES[kind])
    return getattr(model, load_host().backbone).double().eval()


def views(count=4):
    return torch.randn(count, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def half(count=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return RandomMasker(Grid(PATCH), area=0.5)(views(count), generator=generator)


def by_hand(vit, images, kept):
    """Embed all patches, give them their positions, and go on with some of them."""
    tokens = vit._pos_embed(vit.patch_embed(images))
    prefix = vit.num_prefix_tokens
    rows = [torch.cat([row[:prefix], row[prefix:][cells]]) for row, cells in zip(tokens, kept, strict=True)]
    return vit.forward_head(vit.norm(vit.blocks(vit.norm_pre(torch.stack(rows)))))


def cells_of(masks, *, hidden):
    corners = masks[:, 0, ::PATCH, ::PATCH].flatten(1)
    return [row.nonzero().flatten() for row in (corners == hidden)]


@kinds
def test_with_nothing_hidden_features_and_gradients_are_those_of_the_plain_network_to_the_bit(kind):
    found = []
    for shown in (views(), carry(views(), torch.zeros(4, 1, SIZE, SIZE))):
        vit = network(kind)
        if found:
            TokenDrop(vit, hidden=0)
        features = vit(shown)
        features.square().sum().backward()
        found.append([features.detach(), *(p.grad for p in vit.parameters() if p.grad is not None)])
    for ours, plain in zip(*found, strict=True):
        assert torch.equal(ours, plain)


@kinds
def test_the_network_goes_on_with_the_patches_that_are_seen_and_all_other_tokens(kind):
    vit = network(kind)
    expected = by_hand(vit, views(), cells_of(half(), hidden=0))
    TokenDrop(vit, hidden=CELLS // 2)
    torch.testing.assert_close(vit(carry(views(), half())), expected)


@kinds
def test_a_hidden_patch_has_no_influence_and_a_visible_one_has(kind):
    vit, masks = network(kind), half(1)
    TokenDrop(vit, hidden=CELLS // 2)
    before = vit(carry(views(1), masks))
    noise = torch.randn(1, 3, SIZE, SIZE, dtype=torch.float64)
    assert torch.equal(vit(carry(occlude(views(1), masks, noise), masks)), before)
    visible = cells_of(masks, hidden=0)[0][0]
    one = F.one_hot(visible, CELLS).view(1, 1, SIZE // PATCH, SIZE // PATCH).double()
    touched = occlude(views(1), F.interpolate(one, scale_factor=PATCH), noise)
    assert not torch.allclose(vit(carry(touched, masks)), before)


@kinds
def test_a_view_that_carries_no_mask_passes_as_ever_also_after_one_that_did(kind):
    vit = network(kind)
    plain = vit(views())
    TokenDrop(vit, hidden=CELLS // 2)
    vit(carry(views(), half().requires_grad_()))
    assert torch.equal(vit(views()), plain)


def test_of_masks_that_follow_no_grid_the_patches_that_are_hidden_most_are_left_out():
    vit = network("timm")
    masks = torch.zeros(4, 1, SIZE, SIZE)
    masks[:, :, :, 3 : SIZE // 2 + 3] = 1  # 5 pixels of the first column of patches, 3 of the third one
    expected = by_hand(vit, views(), [(torch.arange(CELLS) % 4 >= 2).nonzero().flatten()] * 4)
    TokenDrop(vit, hidden=CELLS // 2)
    torch.testing.assert_close(vit(carry(views(), masks)), expected)


@pytest.mark.parametrize("kind", ["host", "timm", "mean", "distilled"])
def test_the_gradient_of_a_mask_is_what_leaving_one_more_patch_out_does(kind):
    vit, goal = network(kind), None
    with torch.no_grad():
        goal = vit(views().flip(-1))
        kept = torch.stack(cells_of(half(), hidden=0))

        def loss(features):
            return 1 - F.cosine_similarity(features, goal, dim=1)

        now = loss(by_hand(vit, views(), kept))
        rest = ([*range(n), *range(n + 1, CELLS // 2)] for n in range(CELLS // 2))
        change = torch.stack([loss(by_hand(vit, views(), kept[:, cells])) - now for cells in rest], dim=1)
    TokenDrop(vit, hidden=CELLS // 2)
    masks = half().requires_grad_()
    value = loss(vit(carry(views(), masks)))
    torch.testing.assert_close(value.detach(), now)
    (gradient,) = torch.autograd.grad(value.sum(), masks)
    of_patches = F.avg_pool2d(gradient, PATCH, divisor_override=1).flatten(1)
    assert torch.corrcoef(torch.stack([of_patches.gather(1, kept).flatten(), change.flatten()]))[0, 1] > 0.95
    torch.testing.assert_close(of_patches.gather(1, kept).norm(), change.norm(), rtol=0.4, atol=0)
    assert not of_patches[half()[:, 0, ::PATCH, ::PATCH].flatten(1) == 1].any()


# ---------------------------------------------------------------------- the masked method


class Lengths:
    """How many tokens a network goes on with, call by call."""

    def __init__(self, vit):
        self.seen = []
        vit.blocks[0].register_forward_pre_hook(lambda _, args: self.seen.append(args[0].shape[1]))


def masked(name, masker=GUMBEL, kind="timm", **settings):
    return build(name, masker, backbone=BACKBONES[kind], **{"adversary.drop_tokens": True}, **settings)


def step(model):
    attach(model)
    logged = {}
    model.log_dict = lambda logs, **_: logged.update(logs)
    torch.manual_seed(2)
    loss = model.training_step(in_memory_format(model, batch_of(pixels=SIZE)), 0)
    loss.backward()
    return loss.detach(), logged


@pytest.mark.parametrize("kind", ["host", "timm"])
@pytest.mark.parametrize("name", ["simclr", "byol", "simsiam", "dino"])
def test_one_view_is_whole_and_half_of_the_other_one_is_left_out_for_the_teacher_too(name, kind):
    model = masked(name, kind=kind)
    lengths = [Lengths(vit) for vit in model._backbones()]
    step(model)
    for length in lengths:
        assert sorted(length.seen) == [1 + CELLS // 2, 1 + CELLS]


@pytest.mark.parametrize("update", ["reversal", "alternating"])
@pytest.mark.parametrize("name", ["simclr", "byol", "simsiam", "dino", "ressl"])
def test_encoder_and_masker_learn(name, update):
    model = masked(name, **{"adversary.update": update})
    before = {key: p.clone() for key, p in model.named_parameters()}
    fit(model, batches=2, epochs=1)
    moved = {key for key, p in model.named_parameters() if not torch.equal(p, before[key])}
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert any(key.startswith("adversary.game.masker.") for key in moved)
    assert any("blocks" in key for key in moved)


def test_clean_features_and_what_the_online_classifier_learns_are_as_with_painted_masks():
    found = []
    for dropped in (True, False):
        model = build("byol", RANDOM, backbone=BACKBONES["timm"], **{"adversary.drop_tokens": dropped})
        tokens = []
        for vit in model._backbones():
            vit.norm.register_forward_hook(lambda _, args, out, tokens=tokens: tokens.append(out))
        _, logged = step(model)
        seen = [made for made in tokens if made.shape[1] == 1 + CELLS]
        # Of the clean view and the masked one, which is whole where it is painted, the clean one comes first.
        clean = seen if dropped else seen[::2]
        found.append([*clean, *(logged[key] for key in sorted(logged) if "class_loss" in key or "acc" in key)])
    assert len(found[0]) > 4
    for ours, painted in zip(*found, strict=True):
        assert torch.equal(ours, painted)


@pytest.mark.parametrize("side", [None, "both"])
def test_memory_efficient_gradients_are_the_same(side):
    found = []
    masker = {**GUMBEL, "num_masks": 2}
    for efficient in (False, True):
        settings = {"adversary.draw": "all", "adversary.side": side, "adversary.memory_efficient": efficient}
        model = masked("simclr", masker, **settings)
        loss, _ = step(model)
        found.append((loss, {key: p.grad for key, p in model.named_parameters() if p.grad is not None}))
    (loss, plain), (other, efficient) = found
    torch.testing.assert_close(other, loss)
    assert plain.keys() == efficient.keys()
    for key, gradient in plain.items():
        torch.testing.assert_close(efficient[key], gradient, rtol=1e-3, atol=1e-6, msg=key)


# ---------------------------------------------------------------------- masks that do and do not suit it


def simultaneous(projection, masks=1):
    return SimultaneousMasker(masks, projection=projection)


def on_patches(inner):
    return Patches(inner, patch_size=PATCH)


def counted(masker, fill=None):
    return count_hidden(Game(masker, fill or Zero(), WeightedSum({}, {}), drop_tokens=True), patch=PATCH, size=SIZE)


@pytest.mark.parametrize(
    ("masker", "hidden"),
    [
        (RandomMasker(Grid(PATCH), area=0.25), 4),
        (RandomMasker(Grid(2 * PATCH), area=0.25), 4),
        (simultaneous(on_patches(GumbelTopK(0.3))), 5),
        (simultaneous(on_patches(Binary(AreaBudget(0.5))), masks=3), 8),
        (SequentialMasker(3, projection=on_patches(Binary(Disjoint(AreaBudget(0.25))))), 4),
        (MixtureMasker(simultaneous(on_patches(GumbelTopK(0.25))), RandomMasker(Grid(PATCH), area=0.25)), 4),
    ],
    ids=["grid", "coarser grid", "gumbel", "binary", "sequential", "mixture"],
)
def test_masks_of_equally_many_patches_are_counted_and_the_masker_stays_as_it_is(masker, hidden):
    before = {key: value.clone() for key, value in masker.state_dict().items()}
    numbers = torch.get_rng_state()
    assert counted(masker) == hidden
    assert torch.equal(torch.get_rng_state(), numbers)
    for key, value in masker.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize(
    ("masker", "words"),
    [
        (SequentialMasker(), "zeros and ones"),
        (simultaneous(on_patches(AreaBudget(0.5))), "zeros and ones"),
        (simultaneous(Binary(AreaBudget(0.5))), "whole patches"),
        (RandomMasker(area=0.5), "whole patches"),
        (RandomMasker(Grid(PATCH // 2), area=0.5), "whole patches"),
        (simultaneous(on_patches(Binary(AreaBudget([0.25, 0.5])))), "4 to 8 of 16"),
        (simultaneous(on_patches(Binary(Sigmoid()))), "equally many"),
        (simultaneous(on_patches(Binary(Softmax())), masks=2), "equally many"),
        (MixtureMasker(RandomMasker(Grid(PATCH), area=0.5), RandomMasker(Grid(PATCH), area=0.25)), "4 to 8 of 16"),
        (NoMasks(), "0 to 0 of 16"),
    ],
    ids=["soft", "soft patches", "pixels", "blocks", "finer grid", "range", "sigmoid", "softmax", "mixture", "none"],
)
def test_other_masks_are_refused(masker, words):
    with pytest.raises(UserError, match=words):
        counted(masker)


def test_a_fill_that_nobody_would_see_is_refused():
    with pytest.raises(UserError, match=r"leave adversary\.fill out"):
        counted(RandomMasker(Grid(PATCH), area=0.5), fill=Noise())


@pytest.mark.parametrize(
    "setting", [{"share": 0.5}, {"apply": "cumulative"}, {"hard_views": CutMix(RandomMasker())}], ids=str
)
def test_what_would_leave_out_unequally_many_patches_or_move_them_is_refused(setting):
    with pytest.raises(ValueError, match="share=1, apply=each and hard_views=none"):
        Game(RandomMasker(Grid(PATCH)), Zero(), WeightedSum({}, {}), drop_tokens=True, **setting)


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        ({"name": "resnet18"}, "none that can do without"),
        ({"name": "swin_tiny", "kwargs": {"img_size": SIZE, "window_size": 4}}, "none that can do without"),
        ({"name": "vit_tiny", "kwargs": {**SHAPE, "dynamic_img_size": True}}, "kwargs.dynamic_img_size"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_a_method_with_another_backbone_is_refused(backbone, words):
    with pytest.raises(UserError, match=words):
        build("simclr", RANDOM, backbone=backbone, **{"adversary.drop_tokens": True})
