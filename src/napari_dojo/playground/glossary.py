"""The glossary of the classroom, for tooltips and for a page of the documentation."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from napari_dojo.playground.settings import TITLES

__all__ = ["explain", "page", "terms"]


@cache
def terms() -> dict[str, str]:
    """Every term with its definition of one or two sentences, in teaching order."""
    with (Path(__file__).parent / "glossary.toml").open("rb") as file:
        return dict(tomllib.load(file)["terms"])


def explain(word: str) -> str:
    """The definition of a term, an option's label or a choice's name; empty if unknown."""
    known = {term.lower(): meaning for term, meaning in terms().items()}
    return known.get(word.lower()) or known.get(TITLES.get(word, "").lower(), "")


def page() -> str:
    """The glossary as a Markdown page, in alphabetical order."""
    words = sorted(terms().items(), key=lambda term: term[0].lower())
    return "\n\n".join(["# Classroom glossary", *(f"**{word}**: {meaning}" for word, meaning in words)]) + "\n"
