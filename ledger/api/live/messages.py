"""What a client sends on a live WebSocket, checked as strictly as a request's body."""

import re
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ledger.api.parameters import AccountCode, parse_json
from ledger.api.problems import Problem
from ledger.domain.access import is_path
from ledger.unfit import why_unfit

MAX_ACCOUNTS = 1_000
"""Accounts of a subscription."""
MAX_COUNT = 200
"""Rows of a sorted list that are seen at once."""
MAX_OFFSET = 1_000_000
LONGEST_TOKEN = 8_192
"""Characters of a resume token: it has six bytes a partition."""


def _path(text: str) -> str:
    if not is_path(text):
        raise ValueError("it is no path of accounts such as liabilities:deposits")
    return text


ID = r"^[A-Za-z0-9._-]{1,64}$"
Id = Annotated[str, Field(pattern=ID)]
Path = Annotated[str, AfterValidator(_path)]
Currency = Annotated[str, Field(min_length=1, max_length=64)]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET, strict=True)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT, strict=True)]
Token = Annotated[str, Field(max_length=LONGEST_TOKEN)]
Sort = Literal["account", "posted"]
Order = Literal["asc", "desc"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SortedList(_Strict):
    """The part of a sorted list that is seen. An order by `posted` is of one currency."""

    under: Path
    sort: Sort = "account"
    currency: Currency | None = None
    order: Order = "asc"
    offset: Offset = 0
    count: Count = 50

    @model_validator(mode="after")
    def _of_one_currency(self) -> Self:
        if self.sort == "posted" and self.currency is None:
            raise ValueError("a list sorted by posted needs its currency")
        return self


class Subscribe(_Strict):
    """To accounts, to everything under a path, or to a sorted list; `after`: a resume token."""

    type: Literal["subscribe"]
    id: Id
    accounts: Annotated[list[AccountCode], Field(min_length=1, max_length=MAX_ACCOUNTS)] | None = (
        None
    )
    under: Path | None = None
    seen: SortedList | None = Field(default=None, alias="list")
    after: Token | None = None

    @model_validator(mode="after")
    def _to_one_thing(self) -> Self:
        if sum(each is not None for each in (self.accounts, self.under, self.seen)) != 1:
            raise ValueError("give one of accounts, under and list")
        return self

    @property
    def covered(self) -> list[str]:
        """The accounts and paths that the client must be allowed to see."""
        if self.accounts is not None:
            return self.accounts
        return [self.under or (self.seen.under if self.seen else "")]


class Window(_Strict):
    """Another part of a sorted list is seen."""

    type: Literal["window"]
    id: Id
    offset: Offset
    count: Count


class Unsubscribe(_Strict):
    """The end of a subscription."""

    type: Literal["unsubscribe"]
    id: Id


class Ack(_Strict):
    """The last frame was taken; the first one makes every frame wait for the one before it."""

    type: Literal["ack"]


class Authenticate(_Strict):
    """The bearer token, where the client cannot send a header."""

    type: Literal["authenticate"]
    token: Annotated[str, Field(max_length=16_384)]


Message = Subscribe | Window | Unsubscribe | Ack | Authenticate
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


class Unfit(NamedTuple):
    """A message about the subscription `id` that cannot be done, and why."""

    id: str
    problem: Problem


def read_message(text: str) -> Message | Unfit:
    """A client's message. Raises Problem for a text that is none.

    A subscription or a window that has an id is an Unfit where something else is wrong with it.
    """
    content = parse_json(text.encode("utf-8", "surrogatepass"))
    try:
        return _MESSAGE.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"][1:]) or "type"
        problem = Problem("INVALID_BODY", f"{place}: {why_unfit(first)}.", field=place)
        if _is_about_one(content):
            return Unfit(content["id"], problem)
        raise problem from None


def _is_about_one(content: Any) -> bool:
    """Whether a message names the subscription that it is about."""
    if not isinstance(content, dict) or content.get("type") not in ("subscribe", "window"):
        return False
    given = content.get("id")
    return isinstance(given, str) and re.fullmatch(ID, given) is not None
