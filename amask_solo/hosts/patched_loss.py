"""Another loss under the name by which a method of the host calls its own, for as long as a context lasts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from amask_solo._types import Scalar
from amask_solo.errors import UserError

Loss = Callable[..., Scalar]


@contextmanager
def patched(
    method: type, place: tuple[Any, str], play: Callable[[int, Loss], Loss], *, calls: int, unlike: str
) -> Iterator[None]:
    """Let each call of a loss be another one's, and restore the loss at the end in any case.

    The host's training step calls the loss by a global name of its module. This name is patched. The alternatives are
    worse: ``super()`` in a user's subclass would not find a copy of the step with other globals, a permanent patch
    would change the host for all others in the process, and a rewritten step would duplicate the host.

    Args:
        method: The method.
        place: The module of the method, and the name of the loss there.
        play: Returns what takes the place of the loss in a call, by the number of the call, from 0, and the loss.
        calls: How often the host's own training step calls it.
        unlike: The end of the error: unlike what, and what to do.

    Raises:
        UserError: If the training step has called the loss another number of times.
    """
    module, name = place
    loss, made = getattr(module, name), 0

    def instead(*args: Any, **kwargs: Any) -> Scalar:
        nonlocal made
        made += 1
        return play(made - 1, loss)(*args, **kwargs)

    setattr(module, name, instead)
    try:
        yield
    finally:
        setattr(module, name, loss)
    if made != calls:
        raise UserError(f"The training step of {method.__name__} called {name} {made} times, {unlike}")
