"""Wording: messages, docstrings, comments and pages use the terms of the field, not the words listed here."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_dojo

PACKAGE = Path(napari_dojo.__file__).parent
ROOT = PACKAGE.parents[1]

# Each is a regular expression with word boundaries on both sides; the comment says what to write instead.
BANNED = (
    r"anew",  # again, new
    r"shall",  # should, must
    r"so many",  # this many, the number
    r"at work",  # running
    r"by chance",  # random
    r"invented",  # false positive
    r"without learning",  # baseline
    r"what needs no learning",  # baseline
    r"what it sees",  # current prediction
    r"what the net (?:says|sees)",  # prediction, output
    r"can it be believed",  # reliability
    r"of its own",  # separate, its
    r"of one's own",  # custom
    r"(?:go|goes|going) on",  # continue, resume
    r"taken away",  # removed
    r"(?:is|are|was) told",  # receives, reads
    r"mends?",  # fix
    r"remed(?:y|ies)",  # fix
    r"runs? away",  # diverge
    r"image pieces",  # patches, tiles
    r"wherein",  # in which
    r"last word",  # final
)
PATTERN = re.compile(rf"\b(?:{'|'.join(BANNED)})\b", re.IGNORECASE)

# Files that still have old wording. Convert them and shorten this list until it is empty.
PENDING = frozenset[str]()


def sources() -> list[Path]:
    """The files of the package and of the documentation that people read."""
    code = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.toml"), PACKAGE / "napari.yaml", *PACKAGE.rglob("*.md")]
    pages = [*(ROOT / "docs").glob("*.md"), *(p for p in (ROOT / "README.md", ROOT / "CHANGELOG.md") if p.is_file())]
    return sorted(code + pages)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE if PACKAGE in path.parents else ROOT).as_posix()


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text: of code, each string with a space and each comment; of other files, each line."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(content.splitlines(), 1)
        return
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, " ".join(node.value.split())
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def found(path: Path) -> list[str]:
    return [f"{name_of(path)}:{line}: {hit[0]!r}" for line, text in texts(path) for hit in PATTERN.finditer(text)]


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_no_banned_words(path: Path) -> None:
    if name_of(path) in PENDING:
        pytest.xfail("not yet converted")
    assert found(path) == []


def test_the_list_of_pending_files_only_holds_pending_files() -> None:
    assert [name for name in sorted(PENDING) if not (PACKAGE / name).is_file() or not found(PACKAGE / name)] == []


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("drawn anew", 1),
        ("renewed", 0),
        ("so many per step", 1),
        ("Going on with 4", 1),
        ("recommends", 0),
        ("mend it", 1),
    ],
)
def test_the_pattern(text: str, hits: int) -> None:
    assert len(PATTERN.findall(text)) == hits
