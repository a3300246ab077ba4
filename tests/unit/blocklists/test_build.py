import datetime as dt

import msgspec
import pytest

from blocklists.build import open_build
from blocklists.index import digest_of
from blocklists.match import Blocklist, read_lines, read_manifest
from blocklists.model import BlocklistError, Entry, FaultsError, Level, ListingDecision
from blocklists.signing import StaffKey, sign_manifest

KEY = StaffKey.new("test")


def _open(build, today, **options):
    signature = sign_manifest(build.manifest, KEY)
    return open_build(build.indexed, build.manifest, signature, keys=[KEY.public_text()], today=today, **options)


def _names(kit, count, **changes):
    return kit.decision(*(kit.row(host=f'"p{number}.example"') for number in range(count)), **changes)


def test_build_opens_and_says_what_it_is(kit):
    build = kit.compiled({"d.toml": kit.decision(), "exceptions.toml": kit.exception()})
    blocklist = _open(build, kit.today)
    assert blocklist.version == "2026.11.22-1"
    assert blocklist.digest.startswith("sha256:")
    manifest = blocklist.manifest
    assert manifest.counts == {"active": 1, "decisions": 1, "enforced": 1, "exemptions": 1}
    assert manifest.created == kit.now
    assert set(manifest.inputs) == {"d.toml", "exceptions.toml"}
    (source,) = blocklist.sources
    assert (source.country, source.latest_decision, source.latest_verified, source.enforced) == (
        "DE",
        dt.date(2026, 3, 2),
        dt.date(2026, 9, 1),
        1,
    )


def test_same_files_give_the_same_bytes_in_any_order(kit):
    files = {"b.toml": kit.decision(id='"dc-2"'), "a.toml": kit.decision()}
    assert kit.compiled(files) == kit.compiled(dict(reversed(files.items())))


def test_names_out_of_force_stay_on_file(kit):
    rows = (kit.row(), kit.row(host='"later.example"', status='"proposed"'))
    lines = read_lines(kit.compiled({"d.toml": kit.decision(*rows)}).jsonl)
    assert [line.host for line in lines if isinstance(line, Entry)] == ["later.example", "pirate.example"]
    assert [line.tier for line in lines if isinstance(line, ListingDecision)] == [1]


def test_faulty_files_give_no_build_and_every_error(kit):
    with pytest.raises(FaultsError) as caught:
        kit.compiled({"a.toml": kit.decision(country='"GB"'), "b.toml": "x"})
    assert [fault.file for fault in caught.value.faults] == ["a.toml", "b.toml"]
    assert {fault.level for fault in caught.value.faults} == {Level.ERROR}


def test_overdue_review_opens_no_site(kit):
    later = dt.datetime(2027, 10, 1, tzinfo=dt.UTC)
    build = kit.compiled({"d.toml": kit.decision()}, now=later)
    blocklist = _open(build, later.date())
    assert blocklist.manifest.overdue == ("dc-example-2026-1",)
    assert blocklist.match("pirate.example", later.date())


def test_lapsed_decision_counts_as_out_of_force(kit):
    text = kit.decision(open_ended=None, in_force_until="2026-11-21")
    blocklist = _open(kit.compiled({"d.toml": text}), kit.today)
    assert blocklist.manifest.counts["enforced"] == 0
    assert not blocklist.has_eu_source


@pytest.mark.parametrize("version", ["", "1", "2026.11.22", "2026-11-22-1", "2026.11.22-0", "2026.11.22-1\n"])
def test_version_of_another_form_is_refused(kit, version):
    with pytest.raises(BlocklistError, match="not a version"):
        kit.compiled({}, version=version)


def test_unsigned_build_is_refused(kit):
    build = kit.compiled({"d.toml": kit.decision()})
    with pytest.raises(BlocklistError, match="not signed"):
        open_build(build.indexed, build.manifest, b"", keys=[KEY.public_text()], today=kit.today)


def test_changed_list_is_refused(kit):
    build = kit.compiled({"d.toml": kit.decision()})
    with pytest.raises(BlocklistError, match="not the one"):
        Blocklist.load(build.jsonl.replace(b"pirate", b"parrot"), build.manifest)
    with pytest.raises(BlocklistError, match="not the one"):
        _open(build._replace(indexed=build.indexed.replace(b"pirate", b"parrot") + b" "), kit.today)


@pytest.mark.parametrize(("days", "options"), [(31, {}), (8, {"max_age_days": 7}), (-2, {})])
def test_build_of_another_time_is_refused(kit, days, options):
    build = kit.compiled({"d.toml": kit.decision()})
    with pytest.raises(BlocklistError, match=r"days old|after today"):
        _open(build, kit.today + dt.timedelta(days=days), **options)


@pytest.mark.parametrize("days", [0, 30, -1])
def test_build_of_these_days_is_accepted(kit, days):
    assert _open(kit.compiled({"d.toml": kit.decision()}), kit.today + dt.timedelta(days=days))


def test_shrunken_build_is_refused_unless_staff_say_why(kit):
    before = kit.compiled({"d.toml": _names(kit, 20)}).manifest
    assert _open(kit.compiled({"d.toml": _names(kit, 18)}), kit.today, previous=before)
    with pytest.raises(BlocklistError, match="keeps 17 names out"):
        _open(kit.compiled({"d.toml": _names(kit, 17)}), kit.today, previous=before)
    assert _open(kit.compiled({"d.toml": _names(kit, 17)}, because="order lifted"), kit.today, previous=before)


def test_step_back_is_refused(kit):
    before = kit.compiled({"d.toml": kit.decision()}, now=kit.now + dt.timedelta(seconds=1), version="2026.11.22-2")
    with pytest.raises(BlocklistError, match="older than 2026"):
        _open(kit.compiled({"d.toml": kit.decision()}), kit.today, previous=before.manifest)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b"\xff", b'{"format":1}'])
def test_manifest_of_another_form_is_refused(manifest):
    with pytest.raises(BlocklistError, match="not a manifest"):
        read_manifest(manifest)


def test_manifest_of_a_later_format_is_refused(kit):
    build = kit.compiled({"d.toml": kit.decision()})
    later = msgspec.json.decode(build.manifest) | {"format": 9}
    with pytest.raises(BlocklistError, match="format 9"):
        read_manifest(msgspec.json.encode(later))


@pytest.mark.parametrize("line", [b"{}\n", b"\xff\n", b'{"t":"other"}\n', b'{"t":"entry"}\n'])
def test_damaged_line_is_refused_even_when_signed(kit, line):
    good = kit.compiled({"d.toml": kit.decision()})
    damaged = good.jsonl + line
    digest = digest_of(damaged).encode()
    manifest = good.manifest.replace(read_manifest(good.manifest).digest.encode(), digest)
    with pytest.raises(BlocklistError, match="cannot be read"):
        Blocklist.load(damaged, manifest)
    with pytest.raises(BlocklistError, match="cannot be read"):
        read_lines(damaged)


@pytest.mark.parametrize("cut", [0, 10, 40, -3, -1])
def test_damaged_index_is_refused_even_when_signed(kit, cut):
    good = kit.compiled({"d.toml": kit.decision()})
    manifest = good.manifest.replace(digest_of(good.indexed).encode(), digest_of(good.indexed[:cut]).encode())
    with pytest.raises(BlocklistError, match="no index"):
        Blocklist.open(good.indexed[:cut], manifest)
