"""Whether the balance view can be read: it has all that was there at some moment, or nothing."""

from ledger.api.problems import Problem
from ledger.api.view.view import BalanceView


def require_ready(view: BalanceView) -> None:
    """Raises Problem as long as the view has only a part of the balances."""
    if not view.is_ready:
        raise Problem("VIEW_NOT_READY", view.state().problem or "The balances are being read.")
