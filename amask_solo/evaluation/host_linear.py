"""Linear evaluation as the host's scripts do it, for comparisons with published figures."""

from collections.abc import Sequence
from functools import partial

from torch.optim.lr_scheduler import MultiStepLR

from amask_solo.evaluation.classifier import Recipe, train_classifier, val_scores
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.rules import AT_LEAST_0, BETWEEN, POSITIVE, several, table, whole


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

    Raises:
        ValueError: If a number is out of range.

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
        classifier = train_classifier(subject, subject.labeled("train"), self.recipe)
        return val_scores(subject, classifier, val)
