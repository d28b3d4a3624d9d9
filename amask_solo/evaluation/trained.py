"""Linear evaluation as the host's scripts do it, and fine-tuning of all weights with a part of the labels."""

from collections.abc import Sequence
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, SequentialLR

from amask_solo.data.subsets import balanced_subset
from amask_solo.evaluation.classifier import Classifier, Recipe, train_head, val_scores
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.rules import AT_LEAST_0, BETWEEN, PART, POSITIVE, one_of, or_null, several, table, whole


class HostLinear(Protocol):
    """Train a linear layer on the frozen backbone by SGD, on random crops and flips.

    The defaults are those of the host's ``scripts/linear`` (solo-learn 1.0.6): 100 epochs of batches of 256, momentum
    0.9, no weight decay, and a learning rate that falls to a tenth after epochs 60 and 80. All scripts agree in that,
    except for the weight decay of Barlow Twins on ImageNet (1e-5). They differ in the learning rate. On ImageNet-100 it
    is 0.3 for BYOL, DINO, MoCo v3, NNCLR, VICReg and VIbCReg; 0.1 for Barlow Twins; 0.15 for SwAV and DeepCluster v2; 1
    for SimCLR; 3 for MoCo v2+ and ReSSL; and 30 for SimSiam.

    These rates are meant for many steps: with few epochs on few images the linear layer has not settled, and ``linear``
    is the better measure.

    The scores are those of the last epoch; no epoch is chosen by the validation images.

    Args:
        epochs: Passes over the training images.
        batch_size: Images a step.
        lr: For batches of 256 images, scaled in proportion for others, as the host does.
        milestones: After which shares of the epochs, in (0, 1), the learning rate falls to a tenth.
        weight_decay: Of the linear layer.

    References:
        da Costa et al., `solo-learn: A Library of Self-supervised Methods for Visual Representation
        Learning <https://jmlr.org/papers/v23/21-1155.html>`_, JMLR 2022.
    """

    needs = ("labels",)
    rules = table(
        epochs=whole(1), batch_size=whole(1), lr=POSITIVE, milestones=several(BETWEEN, least=0), weight_decay=AT_LEAST_0
    )

    def __init__(
        self,
        *,
        epochs: int = 100,
        batch_size: int = 256,
        lr: float = 0.3,
        milestones: Sequence[float] = (0.6, 0.8),
        weight_decay: float = 0.0,
    ) -> None:
        schedule = partial(MultiStepLR, milestones=[round(share * epochs) for share in milestones])
        self.recipe = Recipe(
            epochs, batch_size, head_lr=lr, backbone_lr=0.0, weight_decay=weight_decay, schedule=schedule
        )

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return ``acc1``, and ``acc5`` of more than five classes."""
        val = subject.labeled("val")
        return val_scores(subject, train_head(Classifier, subject, subject.labeled("train"), self.recipe), val)


class FineTune(Protocol):
    """Train a copy of the backbone with a linear layer on it, on shares of the labeled images.

    The images of a share are drawn with equal numbers of each class as far as there are so many, and at least one of
    each class. A larger share has all images of a smaller one.

    Learning rate, missing weight decay, equal classes, and crops and flips as the only augmentation are SimCLR's, and
    so are its 30 epochs (60 for 1 % of the labels). Its batches of 4096 would be the whole of a small share: ours are
    smaller, with a learning rate in proportion. Half a cosine without warm-up, where the paper says nothing, and plain
    momentum, where it takes Nesterov's, are ours. The host has a script for this, but only for masked autoencoders.

    Transformers are fine-tuned otherwise, see ``configs/protocol/finetune_vit.yaml``: by AdamW, with a warm-up and with
    learning rates that fall from the last layer to the first, as timm has them. Both are BEiT's; rates, decay and
    epochs there are those of masked autoencoders for ViT-B, without their RandAugment, Mixup, CutMix and drop path.

    Cost: ``epochs`` forward and backward passes over each share.

    Args:
        fraction: Shares of the labeled training images, in (0, 1].
        epochs: Passes over each share.
        batch_size: Images a step.
        lr: Of the backbone, for batches of 256 images; that of other batches is in proportion to their size.
        head_lr: The same for the linear layer, which starts from nothing.
        weight_decay: Of everything; with a ``layer_decay``, not of the backbone's biases, norms and positions.
        optimizer: ``sgd`` with momentum, or ``adamw``.
        warmup: Epochs over which the learning rates rise to their height, in equal steps.
        layer_decay: The factor between the learning rates of one layer and the next, in (0, 1]; ``None`` for none.

    Raises:
        ValueError: If a number is out of range, or the warm-up leaves no epoch.

    References:
        Chen et al., `A Simple Framework for Contrastive Learning of Visual Representations
        <https://arxiv.org/abs/2002.05709>`_, ICML 2020, appendix B.5. Bao et al., `BEiT
        <https://arxiv.org/abs/2106.08254>`_, ICLR 2022. He et al., `Masked Autoencoders Are Scalable Vision Learners
        <https://arxiv.org/abs/2111.06377>`_, CVPR 2022, appendix A.1.
    """

    needs = ("labels",)
    rules = table(
        fraction=several(PART),
        epochs=whole(1),
        batch_size=whole(1),
        lr=POSITIVE,
        head_lr=POSITIVE,
        weight_decay=AT_LEAST_0,
        optimizer=one_of("sgd", "adamw"),
        warmup=whole(0),
        layer_decay=or_null(PART),
    )

    def __init__(
        self,
        *,
        fraction: Sequence[float] = (0.01, 0.1, 1.0),
        epochs: int = 30,
        batch_size: int = 64,
        lr: float = 0.05,
        head_lr: float = 0.05,
        weight_decay: float = 0.0,
        optimizer: str = "sgd",
        warmup: int = 0,
        layer_decay: float | None = None,
    ) -> None:
        if warmup >= epochs:
            raise ValueError(f"Expected warmup to be less than the {epochs} epochs, but got {warmup}; lower it.")
        self.fraction = sorted(fraction)
        self.recipe = Recipe(
            epochs,
            batch_size,
            head_lr=head_lr,
            backbone_lr=lr,
            weight_decay=weight_decay,
            schedule=partial(warm_cosine, epochs=epochs, warmup=warmup),
            optimizer=optimizer,
            layer_decay=layer_decay,
        )

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return ``acc1_fraction0.1`` for each share, and ``acc1`` for the largest; the same of ``acc5``."""
        train, val = subject.labeled("train"), subject.labeled("val")
        classes = len(train.labels.unique())
        scores: dict[str, float] = {}
        for share in self.fraction:
            count = max(classes, round(share * len(train)))
            subject.tell(f"{share:.0%} of the labels")
            part = train.select(balanced_subset(train.labels, count, seed=subject.seed))
            largest = val_scores(subject, train_head(Classifier, subject, part, self.recipe), val)
            scores |= {f"{name}_fraction{share:g}": value for name, value in largest.items()}
        return largest | scores


def warm_cosine(optimizer: Optimizer, *, epochs: int, warmup: int) -> LRScheduler:
    """Return a schedule by epochs: up in equal steps to the full rates, then half a cosine down."""
    cosine = CosineAnnealingLR(optimizer, T_max=epochs - warmup)
    if not warmup:
        return cosine
    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rise, cosine], milestones=[warmup])
