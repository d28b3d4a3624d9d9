"""Two processes, as on two devices."""

import multiprocessing
import os
import socket
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import distributed

from tests.players import QUIET, OneConvolution, Trace, build, masker_node
from tests.tiny import tiny_loaders

GAMES = [
    {"update": "reversal"},
    {"update": "alternating", "every": 2, "constraint": "shape_prior"},
    {"update": "reversal", "draw": "all", "memory_efficient": True},
]


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
        assert not torch.equal(*both), "both processes draw the same random numbers"


def play(game: dict[str, Any], rank: int) -> int:
    """Train a masked method for five steps beside another process, and return the steps after which they agreed."""
    seed_everything(0, verbose=False)
    model = build("byol", masker_node(OneConvolution), **{f"adversary.{key}": value for key, value in game.items()})
    # A masker that starts differently on each process must be the same after the first.
    with torch.no_grad():
        for parameter in model.adversary.parameters():
            parameter.add_(rank)
    compare = Compare()
    trainer = Trainer(**QUIET, devices=2, strategy="ddp", max_epochs=1, callbacks=[compare])
    trainer.fit(model, *tiny_loaders(10))
    return compare.steps[-1]


def play_all(rank: int, port: int, done: Any) -> None:
    """Be one of the two processes, as if a launcher had started it."""
    place = {"LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in place.items()})
    torch.set_num_threads(1)
    for game in GAMES:
        done.put((rank, play(game, rank)))


@pytest.mark.slow
def test_two_processes_are_in_sync_after_five_steps_of_the_stock_ddp_strategy_in_any_game():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")  # what is imported need not be imported again
    done = fork.Queue()
    processes = [fork.Process(target=play_all, args=(rank, port, done)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(done.get() for _ in range(2 * len(GAMES))) == [(0, 5)] * len(GAMES) + [(1, 5)] * len(GAMES)
