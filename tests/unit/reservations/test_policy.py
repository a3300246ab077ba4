"""The policy file: the shipped default, faults told together, and what weakens the floor."""

from __future__ import annotations

import pytest

from reservations.datafile import DefinitionError
from reservations.model import Category
from reservations.policy import Policy

APPROVAL = (
    '\n[[approvals]]\nsetting = "{}"\napprover = "A. Person"\nreason = "a study of the letter"\ndate = "2026-11-22"\n'
)


def faults(text):
    with pytest.raises(DefinitionError) as caught:
        Policy.from_toml(text, file="p.toml")
    return [str(fault) for fault in caught.value.faults]


def test_shipped_policy_is_the_floor(policy):
    assert (policy.profile, policy.tokens, policy.purposes, policy.tries) == (
        "standard",
        "class",
        (Category.GENAI_TRAIN,),
        3,
    )
    assert policy.weakened == ()
    assert policy.digest.startswith("sha256:")


def test_ports_are_the_two_of_the_web_and_the_high_ones(policy):
    assert [port for port in (22, 25, 80, 443, 1023, 1024, 8080) if policy.allows_port(port)] == [80, 443, 1024, 8080]


@pytest.mark.parametrize(
    ("media_type", "wanted"),
    [("text/html", True), ("application/pdf", True), ("", True), ("image/png", False), ("video/mp4", False)],
)
def test_media_types_asked_for(policy, media_type, wanted):
    assert policy.wants_media_type(media_type) is wanted


def test_wildcard_media_type_covers_its_class(policy_text):
    text = policy_text.replace('"text/markdown"', '"image/*"')
    assert Policy.from_toml(text, file="p.toml").wants_media_type("image/png")


@pytest.mark.parametrize(("setting", "value"), [("profile", "letter"), ("tokens", "own")])
def test_weaker_setting_needs_a_named_approver(policy_text, setting, value):
    line = next(line for line in policy_text.splitlines() if line.startswith(f"{setting} ="))
    weak = policy_text.replace(line, f'{setting} = "{value}"')
    (told,) = faults(weak)
    assert f"needs [[approvals]] with setting = {setting!r}".replace("'", '"') in told
    assert f": {setting}: " in told
    approved = Policy.from_toml(weak + APPROVAL.format(setting), file="p.toml")
    assert [(item.setting, item.approver) for item in approved.weakened] == [(setting, "A. Person")]


@pytest.mark.parametrize("setting", ["teasers", "metered"])
def test_weaker_switch_needs_a_named_approver(policy_text, setting):
    weak = policy_text.replace('profile = "standard"', f'profile = "standard"\n{setting} = true')
    (told,) = faults(weak)
    assert f'needs [[approvals]] with setting = "{setting}"' in told
    approved = Policy.from_toml(weak + APPROVAL.format(setting), file="p.toml")
    assert [(item.setting, item.approver) for item in approved.weakened] == [(setting, "A. Person")]
    assert Policy.from_toml(policy_text + APPROVAL.format(setting), file="p.toml").weakened == ()


def test_approval_of_a_setting_that_is_not_weak_is_not_reported(policy_text):
    assert Policy.from_toml(policy_text + APPROVAL.format("tokens"), file="p.toml").weakened == ()


def test_all_faults_of_a_policy_are_told_together(policy_text):
    text = (
        policy_text.replace('purposes = ["genai-train"]', 'purposes = ["genai"]')
        .replace("tries = 3", "tries = 0")
        .replace("[limits]", "[limits]\nspeed = 1")
    )
    assert [fault.split(": ")[1] for fault in faults(text)] == ["purposes[0]", "tries", "limits.speed"]


def test_contradictions_are_told_together(policy_text):
    text = (
        policy_text.replace('"text/html"', '"html"')
        .replace('"api_key"', '"API_KEY"')
        .replace("log_days = 1095", "log_days = 10")
        .replace('name = "eu-gpai"', 'name = "x"\ndigest = "sha256:0"')
    )
    assert [fault.split(": ")[1] for fault in faults(text)] == [
        "digest",
        "media_types[0]",
        "secret_keys[1]",
        "retention.log_days",
    ]
