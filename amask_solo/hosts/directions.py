"""The terms of the host's losses that have one view as the query and the other one as the target."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from amask_solo.errors import UserError
from amask_solo.hosts.methods import METHODS, ancestors
from amask_solo.hosts.patched_loss import Loss, patched


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


@contextmanager
def without_queries(method: type, left_out: Collection[int]) -> Iterator[None]:
    """Leave out of a method's loss the terms whose query is one of these views while the context lasts.

    The other terms keep their weights.

    Raises:
        UserError: If the training step calls the loss another number of times than the host's own.
    """
    module, name, queries = directed_loss(method)

    def directed(call: int, loss: Loss) -> Loss:
        left = call < len(queries) and queries[call] in left_out
        return (lambda query, *_, **__: query.new_zeros(())) if left else loss

    unlike = "unlike the host's own with two views; leave adversary.symmetric out."
    with patched(method, (module, name), directed, calls=len(queries), unlike=unlike):
        yield
