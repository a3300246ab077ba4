import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklists.index import Index, build_index
from blocklists.match import (
    MAX_FOLDERS,
    Blocklist,
    Key,
    has_eu_source,
    locate,
    read_manifest,
    segments,
    signals_for,
    walk,
    wider,
)
from blocklists.model import BlocklistError, Entry, Exemption, ListingDecision, Match, Role, Status
from reservations.model import Category, Value
from reservations.urls import UrlError


def _list(kit, *rows, files=None, **changes):
    build = kit.compiled({"d.toml": kit.decision(*rows, **changes), **(files or {})})
    return Blocklist.open(build.indexed, build.manifest)


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("pirate.example", True),
        ("https://pirate.example/", True),
        ("http://a.b.pirate.example:8080/x?y#z", True),
        ("HTTPS://WWW.PIRATE.EXAMPLE/", True),
        ("https://pirate.example./", True),
        ("pirate.example.", True),
        ("https://pirate.example?next=https://other.example/", True),
        ("https://notpirate.example/", False),
        ("https://pirate.example.org/", False),
        ("https://other.example/pirate.example", False),
        ("https://other.example/?u=https://pirate.example/", False),
        ("https://other.example/#pirate.example", False),
        ("https://192.0.2.1/", False),
        ("https://[2001:db8::1]/", False),
    ],
)
def test_domain_entry_reaches_the_name_and_everything_below(kit, url, listed):
    assert (_list(kit).match(url, kit.today) is not None) is listed


@pytest.mark.parametrize("url", ["https://other.example\\@pirate.example/", "https://a.example@pirate.example/"])
def test_disguised_host_is_never_the_other_one(kit, url):
    hit = _list(kit).match(url, kit.today)
    assert (hit is not None) is (locate(url)[0] == "pirate.example")


@pytest.mark.parametrize("text", ["", "https://", "https:///", "https://a b/", "https://exa%00mple/"])
def test_what_is_no_url_is_refused(kit, text):
    with pytest.raises(UrlError):
        _list(kit).match(text, kit.today)


def test_host_entry_reaches_the_host_alone(kit):
    listed = _list(kit, kit.row(match='"host"'))
    assert listed.match("https://pirate.example/any", kit.today)
    assert listed.match("https://www.pirate.example/", kit.today) is None


@pytest.mark.parametrize(
    ("path", "listed"),
    [
        ("/user/pirate", True),
        ("/user/pirate/", True),
        ("/user/pirate/film?x=1", True),
        ("/user/%70irate", True),
        ("//user///pirate", True),
        ("/other/../user/pirate", True),
        ("/user/./pirate", True),
        ("/user/pirates", False),
        ("/user", False),
        ("/", False),
        ("/x?/user/pirate", False),
    ],
)
def test_path_entry_reaches_its_folder(kit, path, listed):
    compiled = _list(kit, kit.row(match='"path"', path='"/user/pirate"'))
    assert (compiled.match("https://pirate.example" + path, kit.today) is not None) is listed
    assert compiled.match("pirate.example", kit.today) is None


def test_narrowest_entry_decides(kit):
    listed = _list(
        kit,
        kit.row(),
        kit.row(
            host='"forum.pirate.example"',
            status='"suspended"',
            changed_on="2026-10-01",
            changed_by='"b.cole"',
            change_cause='"objection"',
            change_reference='"O-7"',
        ),
    )
    wide, narrow = (listed.match(host, kit.today) for host in ("www.pirate.example", "x.forum.pirate.example"))
    assert wide
    assert narrow
    assert (wide.host, wide.held, narrow.held) == ("pirate.example", False, True)
    assert narrow.entry == "dc-example-2026-1/domain:forum.pirate.example"


@pytest.mark.parametrize("status", ["proposed", "expired", "removed"])
def test_entry_out_of_force_keeps_nobody_out(kit, status):
    changed = {
        "changed_on": "2026-10-01",
        "changed_by": '"b.cole"',
        "change_cause": '"order-lifted"',
        "change_reference": '"7 O 9/26"',
    }
    assert _list(kit, kit.row(status=f'"{status}"', **changed)).match("pirate.example", kit.today) is None


def test_term_of_the_decision_ends_after_its_last_day(kit):
    listed = _list(kit, open_ended=None, in_force_until="2026-12-01")
    assert listed.match("pirate.example", dt.date(2026, 12, 1))
    assert listed.match("pirate.example", dt.date(2026, 12, 2)) is None


def test_lapsed_narrow_entry_leaves_the_wider_one_in_force(kit):
    other = kit.decision(kit.row(host='"a.pirate.example"'), id='"dc-2"', open_ended=None, in_force_until="2026-12-01")
    hit = _list(kit, files={"other.toml": other}).match("a.pirate.example", dt.date(2027, 1, 1))
    assert hit
    assert hit.decision == "dc-example-2026-1"


def test_exception_opens_the_narrower_part_until_its_day(kit):
    listed = _list(kit, files={"exceptions.toml": kit.exception()})
    assert listed.match("https://x.forum.pirate.example/", dt.date(2027, 6, 1)) is None
    assert listed.match("https://x.forum.pirate.example/", dt.date(2027, 6, 2))
    assert listed.match("https://www.pirate.example/", kit.today)


def test_exception_counts_only_against_its_own_decision(kit):
    files = {"exceptions.toml": kit.exception(), "other.toml": kit.decision(id='"dc-2"')}
    hit = _list(kit, files=files).match("forum.pirate.example", kit.today)
    assert hit
    assert hit.decision == "dc-2"


def test_entry_below_an_exception_stays_listed(kit):
    rows = (kit.row(), kit.row(host='"x.forum.pirate.example"', status='"suspended"', **_suspended()))
    listed = _list(kit, *rows, files={"exceptions.toml": kit.exception()})
    assert listed.match("x.forum.pirate.example", kit.today)
    assert listed.match("forum.pirate.example", kit.today) is None


def test_two_decisions_about_one_name_give_the_weightier(kit):
    other = kit.decision(id='"dc-0"', tier="3", country='"GB"')
    hit = _list(kit, files={"other.toml": other}).match("pirate.example", kit.today)
    assert hit
    assert (hit.tier, hit.decision) == (1, "dc-example-2026-1")


def test_hit_tells_who_decided_and_its_signal_closes_the_crawl(kit):
    hit = _list(kit).match("pirate.example", kit.today)
    assert hit
    assert (hit.authority, hit.country, hit.date) == ("District Court of Example", "DE", dt.date(2026, 3, 2))
    signal = signals_for(hit)
    assert (signal.protocol, signal.reason, signal.carrier, signal.source) == (
        "blocklist",
        "blocklist.listed",
        "blocklist",
        "url",
    )
    assert signal.strict == signal.effective == {Category.CRAWL: Value.DENY}
    assert "7 O 1/26" in signal.excerpt
    assert signal.locator == hit.entry


def test_eu_source_needs_an_official_of_the_eu_with_a_name_in_force(kit):
    assert _list(kit).has_eu_source
    assert not _list(kit, kit.row(status='"proposed"')).has_eu_source
    assert not _list(kit, tier="3", country='"GB"').has_eu_source
    assert not _list(kit, tier="3", authority_type='"other"').has_eu_source
    assert not has_eu_source(read_manifest(kit.compiled({}).manifest))


def test_list_under_another_manifest_is_refused(kit):
    one, other = kit.compiled({"d.toml": kit.decision()}), kit.compiled({})
    with pytest.raises(BlocklistError, match="not the one that its manifest describes"):
        Blocklist.load(one.jsonl, other.manifest)


_LABELS = st.sampled_from(["a", "b", "c", "example"])
_HOSTS = st.lists(_LABELS, min_size=2, max_size=4).map(".".join)
_PATHS = st.lists(st.sampled_from(["x", "y"]), max_size=3).map(lambda names: "".join(f"/{name}" for name in names))
_KEYS = st.one_of(
    st.tuples(_HOSTS, st.sampled_from([Match.DOMAIN, Match.HOST])).map(lambda pair: Key(*pair)),
    st.tuples(_HOSTS, st.just(Match.PATH), _PATHS.filter(bool)).map(lambda three: Key(*three)),
)


def _covers(key, host, path):
    if key.match is Match.DOMAIN:
        return host == key.host or host.endswith("." + key.host)
    if key.match is Match.HOST:
        return host == key.host
    return host == key.host and (path + "/").startswith(key.path + "/")


def _width(key):
    return (-len(key.host.split(".")), [Match.PATH, Match.HOST, Match.DOMAIN].index(key.match), -len(key.path))


@given(st.lists(_KEYS, unique=True, max_size=6), _HOSTS, _PATHS)
def test_walk_finds_what_trying_every_entry_finds(keys, host, path):
    covering = [key for key in keys if _covers(key, host, path)]
    assert [key for key in walk(host, path) if key in keys] == sorted(covering, key=_width)


DAY = dt.date(2026, 11, 22)


def _decision(name):
    return ListingDecision(
        id=name,
        authority="Court",
        authority_type="court",
        country="DE",
        date=DAY,
        legal_basis="x",
        finding="x",
        language="de",
        tier=1,
        review_by=DAY,
    )


def _entry(name, key):
    return Entry(
        decision=name,
        host=key.host,
        match=key.match,
        path=key.path,
        role=Role.PRIMARY,
        status=Status.ACTIVE,
        added=DAY,
        added_by="a",
    )


def _exemption(name, key):
    return Exemption(
        excepts=name,
        host=key.host,
        match=key.match,
        path=key.path,
        reason="x",
        added=DAY,
        added_by="a",
        approved_by=("b",),
        until=DAY,
    )


def _first(keys, exempt, host, path):
    """What the documentation says, by trying every entry."""
    free = False
    for key in walk(host, path):
        if key in keys and not free:
            return key
        free |= key in exempt
    return None


@given(st.lists(_KEYS, unique=True, max_size=6), st.lists(_KEYS, unique=True, max_size=2), _HOSTS, _PATHS)
def test_index_answers_as_trying_every_entry_does(kit, keys, exempt, host, path):
    octets = build_index(
        [_decision("one")], [_entry("one", key) for key in keys], [_exemption("one", key) for key in exempt]
    )
    hit = Blocklist(read_manifest(kit.compiled({}).manifest), Index(octets)).match(f"https://{host}{path}/z", DAY)
    assert (Key(hit.host, hit.match, hit.path) if hit else None) == _first(keys, exempt, host, path)


@given(_KEYS, _KEYS)
def test_wider_means_covering_and_more(key, other):
    place = key.host if key.match is not Match.DOMAIN else f"below.{key.host}"
    expected = key != other and _covers(other, place, key.path) and _width(other) > _width(key)
    assert (other in set(wider(key))) is expected


@given(st.text(max_size=40))
def test_segments_of_any_path_are_plain(path):
    assert not {"", ".", ".."} & set(segments(path))


@given(st.text(max_size=60))
def test_any_text_is_located_or_refused(text):
    try:
        host, _ = locate(text)
    except UrlError:
        return
    assert host == host.lower()


def test_hostile_path_costs_few_steps():
    assert len(list(walk("a.example", "/x" * 4000))) == MAX_FOLDERS + 3


def _suspended():
    return {
        "changed_on": "2026-10-01",
        "changed_by": '"b.cole"',
        "change_cause": '"objection"',
        "change_reference": '"O-7"',
    }
