"""Keep what each process of a run has summed, of which a checkpoint of Lightning's has that of the first alone."""

from typing import Any

from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, Trainer
from torch import distributed

STATES = "callbacks_of_processes"
"""The key of a checkpoint with the states of the callbacks, by the number of the process."""


class OwnStates(Callback):
    """Save the states of all callbacks on all processes, and give each process its own when the run goes on."""

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Gather the states; all processes save at the same time."""
        if trainer.world_size > 1 and "callbacks" in checkpoint:
            checkpoint[STATES] = [None] * trainer.world_size
            distributed.all_gather_object(checkpoint[STATES], move_data_to_device(checkpoint["callbacks"], "cpu"))

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Replace the states of the first process, before the callbacks read them."""
        states = checkpoint.pop(STATES, ())
        if len(states) == trainer.world_size > 1:
            checkpoint["callbacks"] = states[trainer.global_rank]
