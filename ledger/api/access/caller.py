"""Who sent a request, and what he may do."""

from collections.abc import Iterable
from dataclasses import dataclass

from ledger.api.problems import Problem
from ledger.client.audit_log import Actor
from ledger.domain.access import Permission, Scope

CHALLENGE = 'Bearer realm="faust-ledger"'


@dataclass(frozen=True, slots=True)
class Caller:
    """`id`: `token:ID`, or `oidc:SUBJECT`. `source`: the client's address.

    `until`: microseconds since 1970 at which the token expires; None for one that does not.
    """

    id: str
    permission: Permission
    source: str
    until: int | None = None

    @property
    def scopes(self) -> frozenset[Scope]:
        """What it may do, with what its scopes include."""
        return self.permission.scopes

    @property
    def paths(self) -> tuple[str, ...]:
        """The account paths that it is restricted to; empty for all accounts."""
        return self.permission.accounts

    @property
    def actor(self) -> Actor:
        """Who it is for the audit log."""
        return Actor(self.id, self.source)

    def covers(self, account: str) -> bool:
        """Whether it may see this account, or all accounts below this path."""
        return self.permission.covers(account)

    def require(self, scope: str, accounts: Iterable[str] = ()) -> None:
        """Raises Problem 403 unless it has the scope and covers all of the accounts."""
        if scope not in self.scopes:
            raise Problem(
                "FORBIDDEN",
                f"This needs a bearer token with the scope {scope}; this one has "
                f"{', '.join(sorted(self.scopes)) or 'none'}.",
                headers={"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", '
                                             f'scope="{scope}"'},
            )  # fmt: skip
        if self.permission.is_restricted:
            for account in accounts:
                self._require_account(account)

    def require_whole(self, transaction_id: str, accounts: Iterable[str]) -> None:
        """Raises Problem 403, which names no account, unless it covers all of a transaction's."""
        if not all(map(self.covers, accounts)):
            raise Problem(
                "FORBIDDEN",
                f"Transaction {transaction_id!r} has other accounts than those of this bearer "
                f"token, which is restricted to {', '.join(self.paths)}. Its own entries are among "
                "the lines of its accounts.",
            )

    def require_all_accounts(self) -> None:
        """Raises Problem 403 for a token that is restricted to some accounts.

        For what is about the ledger as a whole, such as a trial balance.
        """
        if self.permission.is_restricted:
            raise Problem(
                "FORBIDDEN",
                "This is about all accounts, and this bearer token is restricted to "
                f"{', '.join(self.paths)}.",
            )

    def _require_account(self, account: str) -> None:
        if not self.covers(account):
            raise Problem(
                "FORBIDDEN",
                f"This bearer token is restricted to {', '.join(self.paths)} and does not cover "
                f"{account}.",
                field="account",
            )
