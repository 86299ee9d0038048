"""The text of --help: plain, in groups, folded to a terminal and not at all in a pipe."""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ledger.terminal import columns_of, folded

NAMES = 32
"""Columns for the names of options; the help of a longer one begins on the next line."""
_DEFAULT = re.compile(r"default: \((.*?)\)(?=[;\]])")
_AT_LEAST = re.compile(r"x>=(\S+?)(?=[;\]])")
_BETWEEN = re.compile(r"(\S+)<=x<=(\S+?)(?=[;\]])")

Row = tuple[str, str]
"""A name and its text."""


class Command(TyperCommand):
    """A command with a plain help text."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("".join(f"{each}\n" for each in _lines(self, ctx)))


class CommandGroup(TyperGroup):
    """A group of commands with a plain help text."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("".join(f"{each}\n" for each in _lines(self, ctx)))


def width() -> int:
    """Columns of the terminal; of a pipe more than any line has."""
    return columns_of(sys.stdout)


def _lines(command: Any, ctx: Any) -> Iterator[str]:
    """The lines of a command's help."""
    yield " ".join(command.get_usage(ctx).split())
    for paragraph in (command.help or "").split("\n\n"):
        yield ""
        yield from folded(paragraph, width())
    params = [each for each in command.get_params(ctx) if not getattr(each, "hidden", False)]
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        rows = [_described(each, ctx) for each in params if each.param_type_name == kind]
        yield from _section(title, rows, _indent(rows))
    if isinstance(command, TyperGroup):
        groups = list(_groups(command))
        indent = _indent([row for _, rows in groups for row in rows])
        for title, rows in groups:
            yield from _section(title, rows, indent)


def _groups(group: Any) -> Iterator[tuple[str, list[Row]]]:
    """The names of the commands, and the first paragraphs of their help, by title of group."""
    by_title: dict[str, list[Row]] = {}
    for name, command in group.commands.items():
        row = (name, (command.help or "").split("\n\n")[0])
        by_title.setdefault(command.rich_help_panel or "Commands", []).append(row)
    yield from by_title.items()


def _indent(rows: Sequence[Row]) -> int:
    """The column at which the texts of these rows begin."""
    return 2 + max((min(len(name), _room()) for name, _ in rows), default=0) + 2


def _room() -> int:
    return min(NAMES, width() // 2 - 4)


def _section(title: str, rows: Sequence[Row], indent: int) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield typer.style(f"{title}:", bold=True)
    for name, text in rows:
        first, *others = folded(text, width() - indent) or [""]
        if len(name) > _room():
            yield f"  {name}"
            yield f"{'':{indent}}{first}"
        else:
            yield f"{f'  {name}':{indent}}{first}".rstrip()
        yield from (f"{'':{indent}}{each}" for each in others)


def _described(param: Any, ctx: Any) -> tuple[str, str]:
    """The names of a parameter with what it takes, and its help with default and limits."""
    _, text = param.get_help_record(ctx)
    for pattern, plainer in (
        (_DEFAULT, r"default: \1"), (_BETWEEN, r"\1 to \2"), (_AT_LEAST, r"at least \1"),
    ):  # fmt: skip
        text = pattern.sub(plainer, text)
    text = " ".join(text.split())
    if param.param_type_name == "argument":
        return param._rich_display_name(), text
    names = ", ".join([*param.opts, *param.secondary_opts])
    return (names if param.is_flag or param.count else f"{names} {_taken(param, ctx)}"), text


def _taken(param: Any, ctx: Any) -> str:
    """What an option takes: its metavar, its choices, a number, a path or a text."""
    if param.metavar is not None:
        return str(param.metavar)
    shown = param.display_type(ctx).strip("<>").removeprefix("list[").removesuffix("]")
    if "|" in shown:
        return str(shown)
    if "int" in shown or "float" in shown:
        return "N"
    return "PATH" if "path" in shown else "TEXT"
