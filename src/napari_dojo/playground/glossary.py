"""The words of the classroom, for tooltips and for a page of the documentation."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from napari_dojo.playground.settings import TITLES

__all__ = ["explain", "page", "terms"]


@cache
def terms() -> dict[str, str]:
    """Every term and what it means, in one or two sentences, in the order of teaching."""
    with (Path(__file__).parent / "glossary.toml").open("rb") as file:
        return dict(tomllib.load(file)["terms"])


def explain(word: str) -> str:
    """What a word means, whether it is a term, the label of an option or the name of a choice; empty if unknown."""
    known = {term.lower(): meaning for term, meaning in terms().items()}
    return known.get(word.lower()) or known.get(TITLES.get(word, "").lower(), "")


def page() -> str:
    """All words as a page of Markdown, in the order of the alphabet."""
    words = sorted(terms().items(), key=lambda term: term[0].lower())
    return "\n\n".join(["# Words of the classroom", *(f"**{word}**: {meaning}" for word, meaning in words)]) + "\n"
