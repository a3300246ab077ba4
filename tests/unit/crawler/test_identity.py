"""One honest identity."""

import pytest

from crawler.identity import Identity, contact_fault, text_fault, token_fault
from reservations._version import __version__


def who(token="ExampleBot"):
    return Identity(token=token, operator="Example Lab", contact="https://example.org/bot")


def test_user_agent_names_token_version_contact_and_operator():
    assert who().user_agent == f"ExampleBot/{__version__} (+https://example.org/bot; Example Lab)"


def test_house_token_binds_whatever_token_was_chosen():
    assert who().tokens == ("ExampleBot", "KnockfirstBot")
    assert who("KnockfirstBot").tokens == ("KnockfirstBot",)


@pytest.mark.parametrize("token", ["a", "Example-Bot", "example_bot", "x" * 64])
def test_product_tokens_of_rfc_9309_are_taken(token):
    assert token_fault(token) is None


@pytest.mark.parametrize(
    "token", ["", "x" * 65, "Bot2", "a b", "a/1", "é", "*", "bot\n", "Mozilla", "googlebot", "SCRAPY"]
)
def test_other_tokens_and_other_peoples_names_are_not(token):
    assert token_fault(token)


@pytest.mark.parametrize("text", ["", " a", "a ", "a  b", "a\tb", "a\r\nX: y", "a;b", "a(b", "a\\b", "é", "x" * 201])
def test_text_that_would_break_the_header_is_not_taken(text):
    assert text_fault(text)


@pytest.mark.parametrize("contact", ["https://example.org/bot", "http://example.org", "bot@example.org"])
def test_contacts_that_can_be_reached_are_taken(contact):
    assert contact_fault(contact) is None


@pytest.mark.parametrize("contact", ["", "example.org", "https://localhost", "a@b", "a@b.example x", "a@b@c.example"])
def test_contacts_that_cannot_be_reached_are_not(contact):
    assert contact_fault(contact)
