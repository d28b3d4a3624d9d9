"""Train masked methods for five steps each on two processes and compare these; run by test_ddp.py."""

import json
import sys
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import distributed

from tests.players import QUIET, OneConvolution, Trace, build, masker_node
from tests.tiny import tiny_loaders


class Compare(Trace):
    """After the last step, compare what both processes hold."""

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        for name, tensor in model.state_dict().items():
            mine = tensor.detach().clone().float()
            largest = mine.clone()
            distributed.all_reduce(largest, distributed.ReduceOp.MAX)
            # BatchNorm statistics are each process's own, as in the stock method, until DDP's next broadcast.
            if "running" not in name and "num_batches" not in name:
                torch.testing.assert_close(mine, largest, msg=lambda m, n=name: f"{n} differs: {m}")
        lift = trainer.callback_metrics["adversary/lift"].clone()
        distributed.all_reduce(lift, distributed.ReduceOp.MAX)
        torch.testing.assert_close(
            trainer.callback_metrics["adversary/lift"], lift, msg="each process has its own lift"
        )
        drawn = torch.rand(4, generator=model.random_stream("masks", 0))
        both = [torch.empty(4), torch.empty(4)]
        distributed.all_gather(both, drawn)
        if torch.equal(*both):
            raise SystemExit("both processes draw the same random numbers")


def main(settings: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    seed_everything(0, verbose=False)
    model = build("byol", masker_node(OneConvolution), **{f"adversary.{k}": v for k, v in settings.items()})
    # A masker that starts differently on each process must be the same after the first.
    with torch.no_grad():
        rank = Trainer(**QUIET, devices=2, strategy="ddp").global_rank
        for parameter in model.adversary.parameters():
            parameter.add_(rank)
    compare = Compare()
    trainer = Trainer(**QUIET, devices=2, strategy="ddp", max_epochs=1, callbacks=[compare])
    trainer.fit(model, *tiny_loaders(10))
    sys.stdout.write(f"{settings}, rank {trainer.global_rank}: {compare.steps[-1]} steps, in sync\n")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main(json.loads(argument))
