#!/usr/bin/env python
"""Draw what each masker hides, what hidden pixels show, and what projections and hard views do, on the same images.

Learned maskers are trained here, each for some twenty seconds of one CPU core against the same small SimCLR, by the
plain loop of docs/tutorials/loop.md. The seeds are fixed, and the images are the procedural ones of this package.

    python scripts/gallery.py                       # writes results/gallery/*.png and gallery.json
    python -m docs._site.keys                       # puts the pictures on docs/gallery.md
"""

import argparse
import io
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import torch
from benchmarking.report import environment
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, normalize, pad

from amask_solo import projections
from amask_solo._types import Images, Masks, Scalar, Views
from amask_solo.augment.views import Views as MakeViews
from amask_solo.cli.composed import composed
from amask_solo.data import make_shapes
from amask_solo.game.adversary import Adversary
from amask_solo.localisers import lend_backbone
from amask_solo.masked.settings import build_settings
from amask_solo.maskers import Block, RandomMasker, lend_objects
from amask_solo.visualization.panels import GRAY, denormalize, overlay

OUT = Path(__file__).parents[1] / "results" / "gallery"
SIZE, BATCH, SHOWN, SEED = 64, 32, 5, 0
STEPS = {"encoder": 150, "masker": 100}
ENLARGED = 2
COLORS = 64
GAP = 2
LEARNED = ("sequential", "sequential_three", "sequential_per_step", "simultaneous", "gumbel_patches")
LEARNED += ("mixture", "sequential_patches", "simultaneous_patches")
NOT_LEARNED = ("random_block", "random_grid", "random_focal", "random_noise", "random_any", "centered")
NOT_LEARNED += ("saliency", "saliency_focal", "saliency_channels", "random_patches_focal", "random_patches_channels")
OBJECTS = ("eroded", "dilated", "box")
FILLS = ("zero", "image_mean", "noise", "channel_noise", "blur", "high_pass")
HARD_VIEWS = ("adversarial_pixels", "cutmix", "mixmask", "hexa")
SAME = [f"data.image_size={SIZE}", "run_folder=none", "augmentations=symmetric_gentle", "method=amask_simclr"]
SAME += ["adversary.share=1.0"]


class Encoder(nn.Module):
    """A small network with the objective of SimCLR."""

    def __init__(self) -> None:
        super().__init__()
        widths, strides = (3, 24, 48, 96, 96), (2, 2, 2, 1)
        layers: list[nn.Module] = []
        for inner, outer, stride in zip(widths[:-1], widths[1:], strides, strict=True):
            layers += [nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 64))

    def loss(self, views: Views) -> Scalar:
        """Return the loss of two views."""
        z = normalize(self.head(self.features(torch.cat(list(views))).mean(dim=(2, 3))), dim=1)
        similarity = (z @ z.T / 0.2).fill_diagonal_(-torch.inf)
        return cross_entropy(similarity, torch.arange(len(z)).roll(len(z) // 2))

    @torch.no_grad()
    def look(self, images: Images) -> Tensor:
        """Return the last feature maps, for localisers."""
        return self.features(images)


class Gallery:
    """Images, an encoder that has learned without masks, and the pictures."""

    def __init__(self) -> None:
        self.data = make_shapes(num_train=1024, num_val=64, image_size=SIZE)
        mean, std = self.data.mean, self.data.std
        self.mean, self.std = [float(x) for x in mean], [float(x) for x in std]
        self.make = MakeViews(self.settings().augmentations, mean=self.mean, std=self.std)
        pixels = self.data.val.images[:SHOWN]
        self.shown = (pixels / 255 - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]
        self.encoder = Encoder()
        optimizer = torch.optim.AdamW(self.encoder.parameters(), lr=1e-3)
        for views in self.views(STEPS["encoder"]):
            loss = self.encoder.loss(views)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @staticmethod
    def settings(*choices: str):  # noqa: ANN205
        """Return the configuration of a run with these choices."""
        return composed("pretrain", [*SAME, *choices])

    def views(self, steps: int) -> Iterator[list[Images]]:
        """Yield the same pairs of views each time."""
        generator = torch.Generator().manual_seed(SEED)
        for _ in range(steps):
            rows = torch.randint(len(self.data.train), (BATCH,), generator=generator)
            yield self.make(self.data.train.images[rows], generator=generator)

    def adversary(self, *choices: str) -> Adversary:
        """Return the adversary of a run with these choices."""
        torch.manual_seed(SEED)
        adversary = build_settings(self.settings(*choices)).adversary
        lend_backbone(adversary, self.encoder.look)
        lend_objects(adversary, lambda _: self.data.val.objects()[:SHOWN].float())
        return adversary

    def train(self, masker: str) -> Adversary:
        """Return the adversary of a masker, trained against a copy of the encoder, which goes on learning."""
        price = ["constraint=inverse_sine"] if masker.startswith("simultaneous") else []
        adversary = self.adversary(f"masker={masker}", *price)
        encoder = deepcopy(self.encoder)
        optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
        for views in self.views(STEPS["masker"]):
            turn = adversary.play(views, encoder.loss)
            optimizer.zero_grad()
            turn.objective.backward()
            optimizer.step()
            adversary.step()
        return adversary.eval()

    def masks(self, adversary: Adversary) -> list[Images]:
        """Return the rows of a masker's picture: its masks in color, and what the encoder sees of one of them."""
        masks, hidden = adversary.preview(self.shown, generator=torch.Generator().manual_seed(SEED))
        return [overlay(self.plain(self.shown), masks), self.plain(hidden)]

    def objects(self) -> list[Images]:
        """Return the rows of the objects that the data mark, and the masks of other shapes that are made of them."""
        other = [self.adversary("masker=objects", f"+adversary.masker.shape={shape}") for shape in OBJECTS]
        return [*self.masks(self.adversary("masker=objects")), *(self.masks(adversary)[0] for adversary in other)]

    def plain(self, images: Images) -> Images:
        """Return normalized images as one sees them."""
        return denormalize(images, self.mean, self.std)

    def filled(self, fill: str) -> list[Images]:
        """Return the same rectangles, hidden by a fill."""
        adversary = self.adversary(f"fill={fill}")
        masks = RandomMasker(Block())(self.shown, generator=torch.Generator().manual_seed(SEED))
        entry = next(adversary.game.occluded([self.shown], masks, [0], generator=torch.Generator().manual_seed(SEED)))
        return [self.plain(entry.views[0])]

    def hardened(self, choice: str) -> list[Images]:
        """Return the views of each entry of the sum that differ; for a perturbation also what it adds, enlarged."""
        game = self.adversary("masker=none", f"hard_views={choice}").game
        clean = [self.shown.flip(-1), self.shown]
        generator = torch.Generator().manual_seed(SEED)
        entries = game.entries(
            clean, torch.zeros_like(self.shown[:, :1]), [1], self.encoder.eval().loss, generator=generator
        )
        views = [entry.views[1].detach() for entry in entries]
        rows = [self.plain(view) for view in views if not view.equal(self.shown)]
        if choice == "adversarial_pixels":
            difference = rows[0] - self.plain(self.shown)
            rows.append(GRAY + GRAY * difference / difference.abs().max())
        return rows

    def projected(self) -> Iterator[tuple[str, list[Images]]]:
        """Yield each projection of the same scores."""
        generator = torch.Generator().manual_seed(SEED)
        scores = interpolate(torch.randn(SHOWN, 3, 9, 9, generator=generator), SIZE, mode="bicubic")
        quarter = projections.AreaBudget(0.25)
        shaded = scores[:, :1].expand(-1, 3, -1, -1)
        yield "scores", [(shaded - shaded.min()) / (shaded.max() - shaded.min())]
        for name, project in {
            "Sigmoid": projections.Sigmoid(),
            "AreaBudget": quarter,
            "Binary": projections.Binary(quarter),
            "Standardized": projections.Standardized(projections.AreaBudget(0.25, sharpness=3.0)),
            "Patches": projections.Patches(quarter, patch_size=8),
            "GumbelTopK": projections.Patches(projections.GumbelTopK(0.25), patch_size=8),
        }.items():
            yield name, [self.colored(project(scores[:, :1], generator=generator))]
        yield "Softmax", [self.colored(projections.Softmax()(3 * scores))]
        disjoint, masks = projections.Disjoint(quarter), torch.zeros_like(scores[:, :0])
        for n in range(3):
            masks = torch.cat([masks, disjoint(scores[:, n : n + 1], masks.sum(dim=1, keepdim=True))], dim=1)
        yield "Disjoint", [self.colored(masks)]

    def colored(self, masks: Masks) -> Images:
        """Return the images under masks."""
        return overlay(self.plain(self.shown), masks)

    def pictures(self) -> Iterator[tuple[str, list[Images]]]:
        """Yield the name and the rows of each picture."""
        yield "images", [self.plain(self.shown)]
        yield from ((f"masker_{name}", self.masks(self.train(name))) for name in LEARNED)
        yield from ((f"masker_{name}", self.masks(self.adversary(f"masker={name}"))) for name in NOT_LEARNED)
        yield "masker_objects", self.objects()
        yield from ((f"fill_{name}", self.filled(name)) for name in FILLS)
        yield from ((f"projection_{name}", rows) for name, rows in self.projected())
        yield from ((f"hard_views_{name}", self.hardened(name)) for name in HARD_VIEWS)


def as_png(rows: Sequence[Images]) -> bytes:
    """Return rows of images as a PNG of few colors, each pixel enlarged."""
    lines = [torch.cat(list(pad(row, (0, GAP, 0, GAP), value=1.0)), dim=-1) for row in rows]
    whole = torch.cat(lines, dim=-2)[:, :-GAP, :-GAP].clamp(0, 1).mul(255).round().byte()
    whole = whole.repeat_interleave(ENLARGED, dim=1).repeat_interleave(ENLARGED, dim=2)
    file = io.BytesIO()
    Image.fromarray(whole.permute(1, 2, 0).numpy()).quantize(COLORS).save(file, "PNG", optimize=True)
    return file.getvalue()


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help=f"the folder; default: {OUT}")
    out = parser.parse_args().out
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    bytes_of = {}
    for name, rows in Gallery().pictures():
        written = as_png(rows)
        (out / f"{name}.png").write_bytes(written)
        bytes_of[name] = len(written)
        print(f"{name}: {len(written) / 1000:.0f} kB", flush=True)
    report = {
        "pictures": bytes_of,
        "steps": STEPS,
        "batch": BATCH,
        "environment": environment(torch.device("cpu"), SEED),
    }
    (out / "gallery.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
