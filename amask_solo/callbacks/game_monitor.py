"""Monitor encoder and masker during training."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from amask_solo.callbacks.epochs import batches_of_epoch
from amask_solo.errors import UserError
from amask_solo.game.monitor import Finding, all_finite, diagnose, mask_statistics
from amask_solo.game.updates import Turn


class Report:
    """Warn about each kind of failure once."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, findings: Iterable[Finding], trainer: Trainer) -> None:
        """Report the new ones among some findings."""
        for finding in findings:
            if finding.kind not in self._known:
                self._known.add(finding.kind)
                rank_zero_warn(f"Epoch {trainer.current_epoch}: {finding}")


class GameMonitor(Callback):
    """Log statistics of the game, report failures of the masks, and stop a run with NaN or infinite numbers.

    Every ``log_every_n_steps`` steps it logs ``masks/*`` (see :func:`~amask_solo.game.monitor.mask_statistics`),
    ``adversary/loss``, ``adversary/penalty``, and the norms of both players' gradients; the encoder's norm is taken
    before clipping. The row of an epoch has the mean of the logged ``masks/*``.

    A NaN loss without a NaN gradient does not count as a failure, since DeepCluster-v2 has one in its first epoch.
    """

    def __init__(self) -> None:
        self._report = Report()
        self._seen: list[dict[str, Tensor]] = []
        self._due = False
        self._lr: float | None = None
        self._turn: Turn | None = None
        self._grad_norm: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics of the present epoch, for a run that is resumed within it."""
        return {"seen": self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the statistics of the present epoch."""
        self._seen = state_dict["seen"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Hook into the masker's private optimizer, which is made anew for each training and may step at any time."""
        self._seen = [{name: value.to(pl_module.device) for name, value in seen.items()} for seen in self._seen]

        def measure(optimizer: Optimizer, *_: Any) -> None:
            if self._due:
                norm = _grad_norm(p for group in optimizer.param_groups for p in group["params"])
                pl_module.log("adversary/grad_norm", norm, on_epoch=False)

        optimizer: Any = getattr(getattr(pl_module, "adversary", None), "optimizer", None)
        if optimizer is not None:
            optimizer.register_step_pre_hook(measure)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Find out whether this step is logged."""
        del pl_module, batch
        # Lightning's own monitors ask the same; a counter of our own would be wrong after a resume.
        logged = trainer._logger_connector.should_update_logs
        # The last batch is always included, for epochs that are shorter than the logging interval.
        self._due = logged or batch_idx + 1 == batches_of_epoch(trainer)
        self._turn = self._grad_norm = None
        self._lr = trainer.optimizers[0].param_groups[0]["lr"]

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:  # noqa: ARG002
        """Take the turn before the method releases it."""
        if self._due:
            self._turn = getattr(getattr(pl_module, "step", None), "turn", None)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Measure the encoder's gradient, before it is clipped."""
        del trainer, optimizer
        if self._due:
            named = pl_module.named_parameters()
            self._grad_norm = _grad_norm(p for name, p in named if not name.startswith("adversary."))
            pl_module.log("encoder/grad_norm", self._grad_norm, on_step=True, on_epoch=False)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the masks and check for NaN."""
        del batch
        if not self._due:
            return
        turn, self._turn = self._turn, None
        if turn is not None:
            with trainer.precision_plugin.forward_context():
                masks = _all_masks(pl_module, turn, batch_idx)
            statistics = mask_statistics(masks)
            self._seen.append(statistics)
            numbers = {f"masks/{name}": value for name, value in statistics.items()}
            numbers |= {"adversary/loss": turn.loss, "adversary/penalty": turn.penalty}
            pl_module.log_dict(numbers, on_step=True, on_epoch=False)
        broken = self._broken(trainer, outputs["loss"], turn)
        # All processes must stop together; otherwise one would wait forever for another.
        if trainer.strategy.reduce_boolean_decision(broken is not None, all=False):
            self._stop(trainer, broken or "loss of another process", batch_idx)

    def _broken(self, trainer: Trainer, loss: Tensor, turn: Turn | None) -> str | None:
        if turn is not None and not all_finite([turn.masks]):
            return "masks"
        if self._grad_norm is None or all_finite([self._grad_norm]):
            return None
        if not all_finite([loss]):
            return "loss"
        # A gradient scaler skips steps with overflowing gradients and reduces the scale.
        return None if trainer.precision == "16-mixed" else "gradient"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Check the parameters before they are saved, and report what is wrong with the masks."""
        if self._lr is not None:
            pl_module.log("lr", self._lr)  # of the last step
            self._lr = None
        if not all_finite(pl_module.parameters()):
            self._stop(trainer, "parameters", None)
        if not self._seen:
            return
        # All processes reduce the numbers one by one, so they need the same order.
        names = sorted(set.intersection(*({*seen} for seen in self._seen)))
        means = {name: torch.stack([seen[name] for seen in self._seen]).mean() for name in names}
        self._seen.clear()
        pl_module.log_dict({f"masks/{name}": value for name, value in means.items()}, sync_dist=True)
        if not pl_module.adversary.learned():
            return  # Masks that are not learned are as they are by design.
        self._report(diagnose(means), trainer)

    def _stop(self, trainer: Trainer, what: str, batch_idx: int | None) -> None:
        where = f"epoch {trainer.current_epoch}" + ("" if batch_idx is None else f", batch {batch_idx}")
        # Our callback knows its file from the beginning, Lightning's once it has written one.
        files = [getattr(c, "path", None) or getattr(c, "best_model_path", "") for c in trainer.checkpoint_callbacks]
        written = [Path(file) for file in files if file and Path(file).is_file()]
        kept = max(written, key=lambda path: path.stat().st_mtime_ns, default=None)
        remedy = "No checkpoint was written yet; start again."
        if kept:
            remedy = f"The last good checkpoint is kept: {kept}; go on from it with resume=true."
        adversary = ", adversary.optimizer.lr or a weight of a constraint" if what == "masks" else ""
        raise UserError(
            f"The {what} became NaN or infinite in {where} (step {trainer.global_step}). Likely"
            f" causes: too high optimizer.lr{adversary}, too short a warm-up, or half precision"
            f" (trainer.precision is {trainer.precision}; 32-true has the most range). {remedy}"
        )


@torch.no_grad()
def _all_masks(pl_module: Any, turn: Turn, batch_idx: int) -> Tensor:
    """Return all masks of the masked view; if the step only made one for each image, all are made anew.

    New masks are those of the masker after its step, and random masks are drawn again.
    """
    masker = pl_module.adversary.masker
    if turn.masks.shape[1] == masker.num_masks:
        return turn.masks
    with pl_module.adversary.uncompiled():
        return masker(turn.view, generator=pl_module.random_stream("monitor", batch_idx))


def _grad_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    return torch.nn.utils.get_total_norm([p.grad.detach() for p in parameters if p.grad is not None])
