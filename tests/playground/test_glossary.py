"""Words: every option and choice has one, and the page of the docs is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_dojo.playground import Learning, NetShape, PointSet
from napari_dojo.playground.glossary import explain, page, terms
from napari_dojo.playground.image_settings import Cnn, ImageLearning, ImageSet
from napari_dojo.settings import fields_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("cls", [PointSet, NetShape, Learning, ImageSet, Cnn, ImageLearning])
def test_every_option_and_choice_is_explained(cls: type) -> None:
    for field in fields_of(cls):
        assert explain(field.option.label), field.option.label
        if field.name != "kind":
            assert all(explain(choice) for choice in field.choices), field.choices


def test_one_or_two_sentences_each() -> None:
    for word, meaning in terms().items():
        assert meaning.endswith("."), word
        assert 15 < len(meaning) < 260, word
    assert explain("relu").startswith("Rectified linear unit")
    assert explain("no such word") == ""


def test_the_page_of_the_docs_is_up_to_date() -> None:
    written = (DOCS / "glossary.md").read_text(encoding="utf-8")
    assert written == page(), "regenerate it with napari_dojo.playground.glossary.page()"
