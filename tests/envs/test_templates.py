"""A held-out template is a new combination of words, all of which occur in training templates of its scenario."""

from __future__ import annotations

import importlib
import re

import pytest

MODULES = ("issue_create", "issue_labels", "issue_read", "page_create", "ticket_transition")
WORD = re.compile(r"[A-Za-z]+")


def template_lists(module: str) -> dict[str, tuple[str, ...]]:
    """Name -> templates, for all lists of templates of a scenario."""
    members = vars(importlib.import_module(f"envs.scenarios.{module}")).items()
    tuples = {name: value for name, value in members if isinstance(value, tuple)}
    return {name: texts for name, texts in tuples.items() if all(isinstance(t, str) and "{" in t for t in texts)}


def words(text: str) -> set[str]:
    """The words of a template. Capitals matter, since they make different tokens."""
    return set(WORD.findall(re.sub(r"{\w+}", " ", text)))


@pytest.mark.parametrize("module", MODULES)
def test_held_out_wording_is_new_and_its_words_are_not(module):
    lists = template_lists(module)
    assert lists
    training_words = {word for templates in lists.values() for text in templates[:-1] for word in words(text)}
    for name, templates in lists.items():
        assert templates[-1] not in templates[:-1], name
        assert words(templates[-1]) <= training_words, name


def test_a_capital_makes_another_word():
    assert words('Tell me the {what} of "{issue}".') == {"Tell", "me", "the", "of"}
    assert not words("please tell") <= words("Please Tell")
