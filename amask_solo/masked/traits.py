"""What is special about single methods of the host; measured, since no signature tells."""

from amask_solo.errors import UserError

# These two give no gradient to their second view: ReSSL's goes through the teacher alone, W-MSE detaches it.
MASK_FIRST_VIEW = frozenset({"ReSSL", "WMSE"})

# DeepCluster-v2 has no clusters to predict in its first epoch.
FIRST_SIGNAL_EPOCH = {"DeepClusterV2": 1}


def _ancestors(method: type) -> set[str]:
    return {ancestor.__name__ for ancestor in method.__mro__}


def masked_side(method: type) -> int:
    """Return the number of the view that a mask reaches a gradient through."""
    return 0 if _ancestors(method) & MASK_FIRST_VIEW else 1


def refuse_side(method: type, side: int | str | None) -> None:
    """Raise an error if a masker is to learn from a view through which no gradient reaches it.

    Raises:
        UserError: If the method passes none to this view.
    """
    if side == 1 - masked_side(method) and _ancestors(method) & MASK_FIRST_VIEW:
        raise UserError(
            f"{method.__name__} passes no gradient to view {side}, so a masker would learn nothing there; leave "
            "adversary.side out, or take a masker that does not learn."
        )


def first_signal_epoch(method: type) -> int:
    """Return the first epoch, from 0, in which the objective has a gradient."""
    return max((FIRST_SIGNAL_EPOCH.get(name, 0) for name in _ancestors(method)), default=0)


def refuse_unmaskable(method: type) -> None:
    """Raise an error for a method that hides parts of its input by itself.

    Raises:
        UserError: If the method is MAE or a descendant of it.
    """
    if "MAE" in _ancestors(method):
        raise UserError(
            "MAE cannot be masked: it has one view and hides patches of it by itself. Choose a method with two views."
        )
