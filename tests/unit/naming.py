"""What the texts of the repository name, and what there is: commands, files, settings, targets.

`wrong(text, place)` returns a sentence for each name in `text` that does not exist. Texts are
documents, docstrings, comments, help texts and messages.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import typer

from ledger.cli.main import app
from ledger.settings import Settings
from ledger.settings_sources import PREFIX
from ledger.streaming.topics import topics

ROOT = Path(__file__).parents[2]
PROGRAM = "faust-ledger"
CODE = ("ledger", "agents", "migrations", "schemas")
HOLE = "…"
"""Stands in a text for what a program puts there."""

TOP = (*CODE, ".ci", "docs", "docker", "examples", "tests")
MADE = frozenset({"__pycache__", "build", "lib", "node_modules", "target"})
"""Folders of what is built beside what is written."""
FOLDERS = "|".join(name for name in TOP if name != ".ci")
ELSEWHERE = frozenset({"schemas/ids"})
"""Paths of others that look like ours: of the registry's API."""
OTHERS = frozenset({
    "LegacyPartitioner", "SaramaHasher", "_get_actions_per_node", "ca_location",
    "consistent_random", "format_type", "process_cpu_seconds_total",
    "process_resident_memory_bytes",
})  # fmt: skip
"""Names of kafkajs, franz-go, aiokafka, the registry's client, librdkafka, PostgreSQL and
prometheus_client."""


@cache
def files() -> frozenset[str]:
    """Every file of the project, relative to its root."""
    found = [
        file
        for top in TOP
        for file in (ROOT / top).rglob("*")
        if MADE.isdisjoint(file.relative_to(ROOT).parts)
    ]
    found += ROOT.iterdir()
    return frozenset(str(file.relative_to(ROOT)) for file in found if file.is_file())


@cache
def folders() -> frozenset[str]:
    """Every folder of the repository that has a file."""
    return frozenset(str(above) for name in files() for above in Path(name).parents)


@cache
def command_tree() -> Any:
    """The root of the commands, click's."""
    return typer.main.get_command(app)


@cache
def make_targets() -> frozenset[str]:
    """Targets of the Makefile."""
    text = (ROOT / "Makefile").read_text()
    return frozenset(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


@cache
def nodes_of(name: str) -> list[ast.AST]:
    """What names and texts of a Python file are in, parsed once: to look through all takes seconds."""
    return [
        node for node in ast.walk(ast.parse((ROOT / name).read_text())) if isinstance(node, NAMING)
    ]


NAMING = (
    ast.Name, ast.arg, ast.Attribute, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
    ast.keyword, ast.alias, ast.Constant, ast.JoinedStr, ast.Expr,
)  # fmt: skip


@cache
def words_of_code() -> frozenset[str]:
    """Every name and every word of a string in the code, and in the schemas; not of docstrings."""
    found = {Path(name).stem for name in files()}
    for name in files():
        text = ROOT / name
        if name.endswith(".py"):
            for node in nodes_of(name):
                found.update(_words(node))
        elif name.endswith((".avsc", ".cfg", ".toml", ".ini", ".mako")) or "." not in name:
            found.update(re.findall(r"\w+", text.read_text(errors="ignore")))
    return frozenset(found)


def _words(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.keyword(arg=str(name)):
            yield name
        case ast.alias(name=name):
            yield from name.split(".")
        case ast.Constant(value=str(text)) if len(text) < 100 and "`" not in text:
            yield from re.findall(r"\w+", text)


def wrong(text: str, place: str) -> list[str]:
    """A sentence for each thing that `text` names and that does not exist."""
    checks = (commands, paths, variables, settings, targets, modules)
    return list(dict.fromkeys(f"{place}: {found}" for check in checks for found in check(text)))


def spans(text: str) -> Iterator[str]:
    """What is between backticks, and every line that is a command; folded lines are one."""
    flat = re.sub(r"[ \t]*\n[ \t]*(?:#[ \t]+)?", " ", text)
    yield from re.findall(r"(?<!`)`([^`]+)`(?!`)", flat)
    for line in re.findall(
        rf"^\s*(?:\S+ .*[|>] |[A-Z_]+=\S+ )?({PROGRAM} .+)$", text, re.MULTILINE
    ):
        yield line.partition("  #")[0].partition(" # ")[0]


def commands(text: str) -> Iterator[str]:
    """Commands and options that there are not."""
    flat = re.sub(r"\s*\n\s*(?:#\s+)?", " ", text)
    for words in re.findall(rf"(?:{BEFORE}){PROGRAM}((?: [a-z][\w-]*)+)", flat):
        yield from _unknown_command(words.split())
    for span in spans(text):
        words = span.removeprefix(f"{PROGRAM} ").split()
        if words and words[0] in command_tree().commands:
            yield from _unknown_option(words)


def _unknown_command(words: list[str]) -> Iterator[str]:
    at = command_tree()
    for depth, word in enumerate(words):
        if word in PROSE or not hasattr(at, "commands"):
            return
        if word not in at.commands:
            yield f"`{PROGRAM} {' '.join(words[: depth + 1])}` is no command"
            return
        at = at.commands[word]


BEFORE = r"^|[`:(|>\"] ?|\b(?:and|as|by|or|run|see|then|try|use|with) "
"""What comes before a command, and not before the program as a subject."""
PROSE = frozenset({
    "and", "as", "by", "for", "from", "has", "in", "is", "it", "of", "on", "or", "stands", "then",
    "to", "was", "where", "with",
})  # fmt: skip
"""What may come after the program's name, or a group's, in a sentence."""


def _unknown_option(words: list[str]) -> Iterator[str]:
    at, depth = command_tree(), 0
    while depth < len(words) and words[depth] in getattr(at, "commands", {}):
        at, depth = at.commands[words[depth]], depth + 1
    if hasattr(at, "commands"):
        return
    options = {name for param in at.params for name in (*param.opts, *param.secondary_opts)}
    for word in words[depth:]:
        if word in ("|", "||", "&&", ";"):
            return
        match = re.match(r"--[a-z][a-z-]*", word)
        if match and match[0] not in options | {"--help"}:
            yield f"`{' '.join(words[:depth])}` has no option {match[0]}"


def paths(text: str) -> Iterator[str]:
    """Files and folders that there are not; `{…}` and `*` stand for anything."""
    for found in re.findall(rf"(?<![\w/.~$-])((?:{FOLDERS})/[\w./*{HOLE}-]*[\w*/])", text):
        name = found.rstrip("/")
        if not _exists(name) and name not in ELSEWHERE:
            yield f"{found} is no file"
    for found in re.findall(r"`([\w./*-]+\.(?:py|md|avsc|svg))`", text):
        if not any(fnmatch(each, found) or fnmatch(each, f"*/{found}") for each in files()):
            yield f"{found} is no file"


def _exists(name: str) -> bool:
    if name in files() or name in folders():
        return True
    pattern = name.replace(HOLE, "*")
    if "*" not in pattern:
        # A module without its ending, as in `ledger/streaming`.
        return f"{name}.py" in files()
    return any(fnmatch(each, pattern) for each in files() | folders())


def variables(text: str) -> Iterator[str]:
    """Environment variables of ours that nothing reads."""
    for found in re.findall(rf"{PREFIX}[A-Z][A-Z_]*[A-Z](?![A-Z_]*{HOLE})", text):
        name = found.removeprefix(PREFIX).lower()
        if name not in Settings.model_fields and found not in read_variables():
            yield f"{found} is no setting"


@cache
def read_variables() -> frozenset[str]:
    """Variables that the code or the Makefile reads by their whole name."""
    found: set[str] = set(re.findall(rf"{PREFIX}[A-Z_]+", (ROOT / "Makefile").read_text()))
    for name in files():
        if name.endswith(".py"):
            for node in nodes_of(name):
                match node:
                    case ast.Constant(value=str(text)) if re.fullmatch(rf"{PREFIX}[A-Z_]+", text):
                        found.add(text)
    return frozenset(found)


def settings(text: str) -> Iterator[str]:
    """What is called a setting of the ledger, or is listed as one of several, and is none."""
    flat = " ".join(text.split())
    called = re.findall(r"\b[Ss]etting (`[a-z_]+`)", flat)
    for listed in (
        *called,
        *re.findall(r"\b[Ss]ettings (`[a-z_]+`(?:(?:, | and | or )`[a-z_]+`)+)", flat),
    ):
        for name in re.findall(r"`([a-z_]+)`", listed):
            if name not in Settings.model_fields:
                yield f"`{name}` is no setting"


def targets(text: str) -> Iterator[str]:
    """Targets that the Makefile does not have."""
    blocks = "".join(re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL))
    called = re.findall(r"`make ([a-z-]+)", text)
    for found in (*called, *re.findall(r"^make ([a-z-]+)", blocks, re.MULTILINE)):
        if found not in make_targets():
            yield f"`make {found}` is no target"


def modules(text: str) -> Iterator[str]:
    """Modules, and what is in them, that cannot be imported."""
    for found in re.findall(
        r"(?<![\w./@-])((?:ledger|agents|migrations|tests)\.[A-Za-z_][\w.-]*\w)", text
    ):
        if (
            found not in not_modules()
            and not found.endswith((".toml", ".sql"))
            and not _imports(found)
        ):
            yield f"{found} cannot be imported"


@cache
def not_modules() -> frozenset[str]:
    """Names with a dot that are topics, schemas or kinds of transactions."""
    ours = {topic.name for topic in topics(Settings()).all()}
    records = {f"ledger.{Path(name).stem}" for name in files() if name.endswith(".avsc")}
    return frozenset(ours | records | {f"{name}-value" for name in ours} | {"ledger.void"})


def _imports(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None) or getattr(found, "__annotations__", {}).get(part)
        return found is not None
    return False


def unknown_names(text: str) -> Iterator[str]:
    """Names in backticks, such as `SomeClass` or `some_name`, that no code has."""
    for span in re.findall(r"(?<!`)`([A-Za-z_][\w.]*)(?:\(.*?\))?`(?!`)", text):
        for word in span.split("."):
            looks = re.fullmatch(r"_?[a-z]+(?:_[a-z0-9]+)+|(?:[A-Z][a-z0-9]+)+", word)
            # Prometheus's client gives counters and information an ending.
            metric = re.sub(r"_(?:total|info)$", "", word.removeprefix("faust_ledger_"))
            if looks and words_of_code().isdisjoint((word, metric)) and word not in OTHERS:
                yield f"`{word}` is in no code"


def texts_of(name: str) -> Iterator[tuple[str, int]]:
    """Docstrings, messages and comments of a Python file, each with its line."""
    joined = [node for node in nodes_of(name) if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for text in joined for part in text.values}
    for text in joined:
        parts = (part.value if isinstance(part, ast.Constant) else HOLE for part in text.values)
        yield "".join(map(str, parts)), text.lineno
    for node in nodes_of(name):
        match node:
            case ast.Constant(value=str(value)) if id(node) not in inside:
                yield value, node.lineno
    yield from comments_of(name)


def explanations_of(name: str) -> Iterator[tuple[str, int]]:
    """Docstrings of a Python file, those of constants too, and its comments, each with its line."""
    for node in nodes_of(name):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text, node.lineno
    yield from comments_of(name)


def comments_of(name: str) -> Iterator[tuple[str, int]]:
    """Comments, those of lines after one another as one."""
    source = (ROOT / name).read_text()
    for match in re.finditer(r"(?:^[ \t]*# .*\n)+|  # .*$", source, re.MULTILINE):
        yield match[0], source.count("\n", 0, match.start()) + 1
