"""What two processes do to the masker's gradients, in one."""

import pytest
import torch
from torch import distributed, nn

from amask_solo.game import distributed as ours


@pytest.fixture
def other(monkeypatch):
    """The gradients of a second process."""
    theirs = torch.tensor([5.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce", lambda flat: flat.add_(theirs))
    return theirs


def parameters():
    made = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1, 3))]
    made[0].grad, made[2].grad = torch.tensor([1.0]), torch.tensor([[2.0, 3.0, 4.0]])
    return made


@pytest.mark.usefixtures("other")
def test_gradients_are_the_mean_over_the_processes():
    first, without, last = made = parameters()
    ours.average_gradients(made)
    assert first.grad.tolist() == [3.0]
    assert without.grad is None
    assert last.grad.tolist() == [[4.0, 5.0, 6.0]]


def test_one_process_alone_sends_nothing(monkeypatch):
    monkeypatch.delattr(distributed, "all_reduce")
    monkeypatch.delattr(distributed, "broadcast")
    first, *_ = made = parameters()
    ours.average_gradients(made)
    ours.same_on_all_ranks(nn.Linear(2, 2))
    assert first.grad.tolist() == [1.0]


@pytest.mark.usefixtures("other")
def test_parameters_and_buffers_become_those_of_the_first_process(monkeypatch):
    sent = []
    monkeypatch.setattr(distributed, "broadcast", lambda tensor, src: sent.append((tensor, src)))
    module = nn.BatchNorm1d(2)
    ours.same_on_all_ranks(module)
    assert [tensor.data_ptr() for tensor, _ in sent] == [t.data_ptr() for t in module.state_dict().values()]
    assert {source for _, source in sent} == {0}
