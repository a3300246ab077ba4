"""The KNOCKFIRST_* settings: read once, all faults together."""

from pathlib import Path

import pytest

from crawler.options import OPTIONS, Fault, read_options

WHO = {"KNOCKFIRST_OPERATOR": "Example Lab", "KNOCKFIRST_CONTACT": "https://example.org/bot"}
LEAST = {**WHO, "KNOCKFIRST_NO_BLOCKLIST": "a trial"}


def faults(**settings):
    chosen = {name: value for name, value in {**LEAST, **settings}.items() if value is not None}
    return [fault.where for fault in read_options(chosen, "web")[1]]


def test_least_settings_give_the_defaults():
    options, found = read_options(LEAST, "web")
    assert found == []
    assert options.out == Path("out/web")
    assert options.frontier == "sqlite:///out/web/frontier.db"
    assert options.token == "KnockfirstBot"
    assert options.key == Path("~/.config/knockfirst/log.key").expanduser()
    assert (options.policy, options.blocklist, options.ca_file) == (None, None, None)
    assert options.backoff_s == 60.0
    assert options.max_per_host == 0
    assert not options.allow_private_addresses


def test_nothing_set_names_everything_that_is_required():
    _, found = read_options({}, "web")
    assert [fault.where for fault in found] == ["KNOCKFIRST_OPERATOR", "KNOCKFIRST_CONTACT", "KNOCKFIRST_BLOCKLIST"]
    assert all(fault.remedy for fault in found)


def test_faulty_option_has_its_default_so_that_the_rest_can_be_looked_at():
    options, found = read_options({**LEAST, "KNOCKFIRST_BACKOFF": "soon", "KNOCKFIRST_OUT": "out/x"}, "web")
    assert len(found) == 1
    assert options.backoff_s == 60.0
    assert options.out == Path("out/x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KNOCKFIRST_OPERATOR", "two\nlines"),
        ("KNOCKFIRST_OPERATOR", "Föö"),
        ("KNOCKFIRST_OPERATOR", "a (comment)"),
        ("KNOCKFIRST_OPERATOR", "x" * 201),
        ("KNOCKFIRST_CONTACT", "nobody"),
        ("KNOCKFIRST_CONTACT", "ftp://example.org/"),
        ("KNOCKFIRST_CONTACT", "https://localhost"),
        ("KNOCKFIRST_CONTACT", "a@b"),
        ("KNOCKFIRST_TOKEN", "Bot/1.0"),
        ("KNOCKFIRST_TOKEN", "Bot 2"),
        ("KNOCKFIRST_TOKEN", "Bot2"),
        ("KNOCKFIRST_TOKEN", "*"),
        ("KNOCKFIRST_TOKEN", "GPTBot"),
        ("KNOCKFIRST_BACKOFF", "-1"),
        ("KNOCKFIRST_BACKOFF", "inf"),
        ("KNOCKFIRST_BACKOFF", "nan"),
        ("KNOCKFIRST_MAX_PER_HOST", "1.5"),
        ("KNOCKFIRST_MAX_PER_HOST", "-1"),
        ("KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES", "maybe"),
        ("KNOCKFIRST_RESOLVE", "a.example"),
        ("KNOCKFIRST_RESOLVE", "@/no/such/file"),
        ("KNOCKFIRST_POLICY", "/no/such/file"),
        ("KNOCKFIRST_CA_FILE", "/no/such/file"),
        ("KNOCKFIRST_FRONTIER", "redis://localhost"),
        ("KNOCKFIRST_OPERATR", "misspelt"),
    ],
)
def test_value_that_cannot_be_used_is_one_fault_with_its_name(name, value):
    assert faults(**{name: value}) == [name]


@pytest.mark.parametrize(
    ("name", "value", "field", "read"),
    [
        ("KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES", "True", "allow_private_addresses", True),
        ("KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES", True, "allow_private_addresses", True),
        ("KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES", "0", "allow_private_addresses", False),
        ("KNOCKFIRST_BACKOFF", 1, "backoff_s", 1.0),
        ("KNOCKFIRST_MAX_PER_HOST", "20", "max_per_host", 20),
        ("KNOCKFIRST_BLOCKLIST_KEYS", "a, b,", "blocklist_keys", ("a", "b")),
        ("KNOCKFIRST_BLOCKLIST_KEYS", ["a", "b"], "blocklist_keys", ("a", "b")),
        ("KNOCKFIRST_CONTACT", "bot@example.org", "contact", "bot@example.org"),
        ("KNOCKFIRST_OUT", "~/out", "out", Path("~/out").expanduser()),
    ],
)
def test_values_of_command_line_and_python_are_read_alike(name, value, field, read):
    options, found = read_options({**LEAST, name: value}, "web")
    assert found == []
    assert getattr(options, field) == read


def test_list_or_a_sentence_why_there_is_none_is_needed(tmp_path):
    assert faults(KNOCKFIRST_NO_BLOCKLIST=None) == ["KNOCKFIRST_BLOCKLIST"]
    assert faults(KNOCKFIRST_NO_BLOCKLIST=None, KNOCKFIRST_BLOCKLIST=str(tmp_path)) == ["KNOCKFIRST_BLOCKLIST_KEYS"]
    assert faults(KNOCKFIRST_BLOCKLIST=str(tmp_path), KNOCKFIRST_BLOCKLIST_KEYS="k") == []


def test_names_are_unique_and_prefixed():
    names = [option.name for option in OPTIONS]
    assert len(names) == len(set(names))
    assert all(name.startswith("KNOCKFIRST_") and option.text for name, option in zip(names, OPTIONS, strict=True))


def test_fault_says_where_what_and_what_to_do():
    assert str(Fault("X", "is wrong", "mend it")) == "X: is wrong\n    -> mend it"
