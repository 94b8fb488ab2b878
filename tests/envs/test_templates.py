"""Held-out wording is a new combination of words that training requests of the same scenario use as well."""

from __future__ import annotations

import importlib
import re

import pytest

MODULES = ("issue_create", "issue_labels", "issue_read", "page_create", "ticket_transition")
WORD = re.compile(r"[A-Za-z]+")


def lists(module: str) -> dict[str, tuple[str, ...]]:
    """A scenario's lists of templates by name."""
    found = vars(importlib.import_module(f"envs.scenarios.{module}")).items()
    tuples = {name: one for name, one in found if isinstance(one, tuple)}
    return {name: one for name, one in tuples.items() if all(isinstance(text, str) and "{" in text for text in one)}


def words(text: str) -> set[str]:
    """Words as they are written: a capital makes another token."""
    return set(WORD.findall(re.sub(r"{\w+}", " ", text)))


@pytest.mark.parametrize("module", MODULES)
def test_held_out_wording_is_new_and_its_words_are_not(module):
    templates = lists(module)
    assert templates
    trained = {word for one in templates.values() for text in one[:-1] for word in words(text)}
    for name, one in templates.items():
        assert one[-1] not in one[:-1], name
        assert words(one[-1]) <= trained, name


def test_a_capital_makes_another_word():
    assert words('Tell me the {what} of "{issue}".') == {"Tell", "me", "the", "of"}
    assert not words("please tell") <= words("Please Tell")
