"""The calls of the host's losses in a training step: what else takes their place, for as long as a context lasts."""

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor

from amask_solo._types import Scalar
from amask_solo.errors import UserError
from amask_solo.hosts.methods import METHODS, ancestors

Call = Callable[..., Scalar]
"""Takes the place of a call of a loss: gets the loss, and then its arguments."""


@contextmanager
def replaced(method: type, place: tuple[Any, str], calls: Sequence[Call | None], *, unlike: str) -> Iterator[None]:
    """Let other calls take the place of a loss's, and restore the loss at the end in any case.

    The host's training step calls the loss by a global name of its module. This name is patched. The alternatives are
    worse: ``super()`` in a user's subclass would not find a copy of the step with other globals, a permanent patch
    would change the host for all others in the process, and a rewritten step would duplicate the host.

    Args:
        method: The method.
        place: The module of the method, and the name of the loss there.
        calls: One for each call in the host's own training step; ``None`` leaves it.
        unlike: The end of the error: unlike what, and what to do.

    Raises:
        UserError: If the training step has called the loss another number of times.
    """
    module, name = place
    loss, made = getattr(module, name), 0

    def instead(*args: Any, **kwargs: Any) -> Scalar:
        nonlocal made
        made += 1
        call = calls[made - 1] if made <= len(calls) else None
        return call(loss, *args, **kwargs) if call else loss(*args, **kwargs)

    setattr(module, name, instead)
    try:
        yield
    finally:
        setattr(module, name, loss)
    if made != len(calls):
        raise UserError(f"The training step of {method.__name__} called {name} {made} times, {unlike}")


def directed_loss(method: type) -> tuple[Any, str, tuple[int, ...]]:
    """Return the module of a method, the name of its loss there, and the index of the query in each call of it.

    Raises:
        UserError: If the method's loss is not a sum of a term for each direction.
    """
    for ancestor, row in ancestors(method):
        if row.directions and hasattr(module := sys.modules[ancestor.__module__], row.directions[0]):
            return module, *row.directions
    others = ", ".join(name for name, row in METHODS.items() if row.directions)
    raise UserError(
        "adversary.symmetric=false leaves out the terms in which a clean view predicts a masked one, and "
        f"{method.__name__} has no such terms of its own; choose one of {others}, or leave it out."
    )


def without_queries(method: type, left_out: Collection[int]) -> AbstractContextManager[None]:
    """Leave out of a method's loss the terms whose query is one of these views; the others keep their weights.

    Raises:
        UserError: If the training step calls the loss another number of times than the host's own.
    """
    module, name, queries = directed_loss(method)
    calls = [_no_term if query in left_out else None for query in queries]
    unlike = "unlike the host's own with two views; leave adversary.symmetric out."
    return replaced(method, (module, name), calls, unlike=unlike)


def _no_term(_: Any, query: Tensor, *args: Any, **kwargs: Any) -> Scalar:  # noqa: ARG001
    return query.new_zeros(())
