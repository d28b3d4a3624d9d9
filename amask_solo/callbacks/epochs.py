"""How long a training is, and the epochs that are measured, drawn or saved: every so many, and the last."""

import math

from lightning.pytorch import Trainer


def steps_of_epoch(trainer: Trainer) -> int | float:
    """Return the number of steps of the optimizer in a whole epoch; infinite if the loader has no length."""
    steps = trainer.num_training_batches / trainer.accumulate_grad_batches
    return math.ceil(steps) if math.isfinite(steps) else steps


def batches_of_step(trainer: Trainer) -> float:
    """Return the number of batches to a step, the mean over an epoch, whose last step may have fewer."""
    steps = steps_of_epoch(trainer)
    return trainer.num_training_batches / steps if 0 < steps < math.inf else trainer.accumulate_grad_batches


def batches_of_epoch(trainer: Trainer) -> int | float:
    """Return the number of batches of the present epoch, some of which ``max_steps`` may leave out."""
    batches, steps = trainer.num_training_batches, steps_of_epoch(trainer)
    if trainer.max_steps < 0 or not math.isfinite(steps):
        return batches
    return min(batches, int(trainer.max_steps - trainer.current_epoch * steps) * trainer.accumulate_grad_batches)


def number_of_epochs(trainer: Trainer) -> int:
    """Return the number of epochs that ``max_epochs`` and ``max_steps`` allow; 0 if that is not known."""
    limits = (trainer.max_epochs or 0, math.ceil(trainer.max_steps / steps_of_epoch(trainer)))
    return min((limit for limit in limits if limit > 0), default=0)


def is_last_epoch(trainer: Trainer) -> bool:
    """Return whether the training ends with the present epoch.

    That an epoch is the last one because a callback stops the training is not known before the end of the epoch.
    """
    ended = trainer.should_stop or trainer.global_step >= trainer.max_steps > 0
    return ended or trainer.current_epoch + 1 == number_of_epochs(trainer)


def is_due(trainer: Trainer, *, every: int) -> bool:
    """Return whether the present epoch is one of every so many, or the last one."""
    return (trainer.current_epoch + 1) % every == 0 or is_last_epoch(trainer)
