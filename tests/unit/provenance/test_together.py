"""Several workers' folders as one crawl, with and without the manifest over them."""

import datetime as dt
import json
import shutil

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from provenance import keys, standalone, verbs, verbs_manifest
from provenance.anchors import Outside
from provenance.erase import Eraser
from provenance.finality import Place
from provenance.log import read_entries
from provenance.manifest import ManifestError, enter, make, origin_for, read
from provenance.together import verify_together
from provenance.verify import VerifyError, verify

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
TWICE = "https://example.org/twice"


@pytest.fixture
def workers(new_worker):
    """Three workers; the first died behind its entry on TWICE, the third asked for it again."""
    folders = []
    for number, name in enumerate(("w1", "w2", "w3")):
        worker = new_worker(name, 100 * number)
        worker.robots()
        worker.kept(f"https://example.org/{name}")
        if name != "w2":
            worker.kept(TWICE)
        worker.finish()
        folders.append(worker.out)
    return folders


@pytest.fixture
def all_of_them(workers, key, tmp_path):
    enter(tmp_path / "all", make(workers, now=NOW), key)
    return tmp_path / "all"


def whats(outs, **options):
    result = verify_together(outs, **options)
    reports = [*result.folders, *([result.manifest] if result.manifest else [])]
    levels = [result.level, *(level for report in reports for level in report.levels)]
    found = [one.what for level in levels for one in level.differences]
    assert result.clean is not bool(found)
    return found


# -- without a manifest ------------------------------------------------------------------------------------------------


def test_workers_of_one_crawl_are_clean_and_the_newer_lease_holds(workers):
    result = verify_together(workers)
    assert result.clean, result
    assert result.level.counts == {"logs": 3, "last words that another one replaces": 1}


def test_each_worker_s_folder_is_clean_by_itself(workers, new_worker):
    assert all(verify(out).clean for out in workers)
    fourth = new_worker("w4", 300)
    fourth.decide(url="https://example.org/w1", verdict="deferred", reason="transfer.timeout", gate="transfer")
    fourth.finish()
    report = verify(fourth.out, ["L2"])  # the other worker has its last word
    assert report.clean
    assert report.levels[1].counts["URLs whose last word another worker may have"] == 1
    assert verify_together([*workers, fourth.out], ["L2"]).clean


def test_worker_that_asks_again_under_a_later_lease_has_the_later_word(new_worker):
    worker = new_worker("w1", 0)
    worker.refused("https://example.org/private")
    worker.refused("https://example.org/private")
    worker.finish()
    report = verify(worker.out, ["L2"])
    assert report.clean
    assert report.levels[1].counts["URLs with a newer last word"] == 1


def test_two_last_words_under_one_lease_are_found(new_worker):
    worker = new_worker("w1", 0)
    worker.refused("https://example.org/private", lease=5)
    worker.refused("https://example.org/private", lease=5)
    worker.finish()
    assert any("2 final entries" in one.what for one in verify(worker.out, ["L2"]).levels[1].differences)


def test_folder_named_twice_is_found(workers, tmp_path):
    copy = shutil.copytree(workers[0], tmp_path / "copy")
    assert any("another folder is, too" in what for what in whats([*workers, copy]))


def test_folder_of_another_crawl_is_found(workers, crawled):
    crawled.enter = lambda kind, _enter=crawled.enter, **fields: _enter(kind, run="r2", **fields)
    crawled.finish()
    assert any("of 2 crawls: r1, r2" in what for what in whats([*workers, crawled.out], levels=["L1"]))


def test_url_that_nobody_has_a_last_word_on_is_found_when_all_are_finished(workers, new_worker):
    fourth = new_worker("w4", 300)
    fourth.decide(url="https://example.org/x", verdict="deferred", reason="transfer.timeout", gate="transfer")
    fourth.finish()
    assert any("no final entry in any log" in what for what in whats([*workers, fourth.out], levels=["L2"]))


def test_url_without_a_last_word_is_counted_while_work_is_left(workers, new_worker):
    fourth = new_worker("w4", 300)
    fourth.decide(url="https://example.org/x", verdict="deferred", reason="transfer.timeout", gate="transfer")
    fourth.finish("stopped")
    result = verify_together([*workers, fourth.out], ["L2"])
    assert result.clean
    assert result.level.counts["URLs without a last word yet"] == 1


def test_lease_in_two_logs_is_found(workers, new_worker):
    fourth = new_worker("w4", 0)
    fourth.kept("https://example.org/w4")
    fourth.finish()
    assert any("lease 0 has last words in two logs" in what for what in whats([*workers, fourth.out]))


def test_payload_that_another_worker_stored_is_found_there_and_one_that_nobody_did_is_named(workers, new_worker):
    kept = next(entry for _, entry in read_entries(workers[0] / "log") if getattr(entry, "verdict", "") == "kept")
    stored = kept.warc[0]
    fourth = new_worker("w4", 300)
    for number, pd in enumerate((stored.pd, "sha256:" + 64 * "0")):
        pointer = msgspec.structs.replace(stored, id=f"urn:uuid:{number}", type="revisit", pd=pd)
        fourth.decide(url=f"https://example.org/r{number}", verdict="unchanged", warc=(pointer,), final=True)
    fourth.finish()
    assert whats([*workers, fourth.out], levels=["L1"]) == [
        "says that its payload was stored before, and no log stored it"
    ]


def test_keys_and_anchors_count_for_the_log_of_their_name(workers, key):
    note = (workers[1] / "log/checkpoint").read_bytes()
    outside = Outside(checkpoints=(("kept", note),))
    lines = [key.verifier(f"crawler.example.org/web/r1/w{number}").line() for number in (1, 2, 3)]
    result = verify_together(workers, keys=lines, outside=outside)
    assert result.clean
    assert all(report.key_given for report in result.folders)
    assert [report.levels[3].looked for report in result.folders] == [False, True, False]


def test_key_or_anchor_of_no_log_is_refused(workers, key):
    with pytest.raises(VerifyError, match="of none of these logs"):
        verify_together(workers, keys=[key.verifier("elsewhere").line()])
    with pytest.raises(VerifyError, match="of none of these logs"):
        verify_together(workers, outside=Outside(checkpoints=(("kept", b"elsewhere\n1\n"),)))


# -- with one ----------------------------------------------------------------------------------------------------------


def test_manifest_lists_every_log_and_what_is_superseded(workers, all_of_them):
    manifest = read(all_of_them)
    assert [one.origin.rpartition("/")[2] for one in manifest.workers] == ["w1", "w2", "w3"]
    assert {one.end for one in manifest.workers} == {"finished"}
    assert all({file.f.partition("/")[0] for file in one.files} == {"evidence", "warc"} for one in manifest.workers)
    [one] = manifest.superseded
    assert (one.origin[-2:], one.by.origin[-2:]) == ("w1", "w3")
    assert origin_for(manifest) == verify(all_of_them).origin == "crawler.example.org/web/r1/manifest"
    assert verify_together(workers, manifest=all_of_them).clean


def test_manifest_holds_while_the_logs_grow_and_a_newer_one_follows(workers, all_of_them, key, new_worker):
    fourth = new_worker("w4", 300)
    fourth.kept("https://example.org/w4")
    fourth.log.sync()
    fourth.log.checkpoint()
    outs = [*workers, fourth.out]
    enter(all_of_them, make(outs, now=NOW), key)
    fourth.kept(TWICE)
    fourth.finish()
    assert verify_together(outs, manifest=all_of_them).clean
    assert read(all_of_them).workers[3].end == ""
    assert verify(all_of_them).size == 2


def test_run_log_is_verified_like_any_other(all_of_them, capsys):
    report = verify(all_of_them)
    assert report.clean
    assert report.seal == "manifest"
    standalone.check_log(all_of_them, None)
    assert "1 entries, all signed" in capsys.readouterr().out


def test_folder_dropped_or_added_is_found(workers, all_of_them, new_worker):
    assert any("no folder is it" in what for what in whats(workers[1:], manifest=all_of_them))
    fourth = new_worker("w4", 300)
    fourth.finish()
    assert any("does not list this log" in what for what in whats([*workers, fourth.out], manifest=all_of_them))


def test_log_cut_below_the_manifest_and_signed_again_is_found(workers, all_of_them, key, new_worker):
    shutil.rmtree(workers[1])
    again = new_worker("w2", 100)
    again.robots()
    again.finish()
    assert any("written anew" in what or "some are gone" in what for what in whats(workers, manifest=all_of_them))


def test_log_with_another_key_than_the_manifest_s_is_found(workers, all_of_them, tmp_path, new_worker):
    shutil.rmtree(workers[1])
    foreign = new_worker("w2", 100, keys.generate(tmp_path / "f" / "key"))
    foreign.finish()
    assert any("not the one given" in what for what in whats(workers, manifest=all_of_them))


def test_manifest_that_was_edited_is_refused(workers, all_of_them):
    [path] = (all_of_them / "manifests").iterdir()
    path.write_bytes(path.read_bytes().replace(b"finished", b"stopped!", 1))
    with pytest.raises(VerifyError, match="not the manifest that was signed"):
        verify_together(workers, manifest=all_of_them)


def signed_again(all_of_them, key, change):
    """The manifest changed by the holder of the key, who signs it."""
    enter(all_of_them, change(read(all_of_them)), key)


def test_manifest_with_other_files_than_the_log_s_is_found(workers, all_of_them, key):
    def change(manifest):
        first, *rest = manifest.workers
        return msgspec.structs.replace(manifest, workers=(msgspec.structs.replace(first, files=()), *rest))

    signed_again(all_of_them, key, change)
    assert any("other WARC files" in what for what in whats(workers, manifest=all_of_them))


def test_manifest_that_hides_or_invents_a_superseded_entry_is_found(workers, all_of_them, key):
    [one] = read(all_of_them).superseded
    signed_again(all_of_them, key, lambda manifest: msgspec.structs.replace(manifest, superseded=()))
    assert any("the manifest does not say so" in what for what in whats(workers, manifest=all_of_them))
    turned = msgspec.structs.replace(one, origin=one.by.origin, seq=one.by.seq, by=Place(one.origin, one.seq))
    signed_again(all_of_them, key, lambda manifest: msgspec.structs.replace(manifest, superseded=(one, turned)))
    assert any("which it does not" in what for what in whats(workers, manifest=all_of_them))


def test_manifest_whose_checkpoint_says_otherwise_is_refused(workers, all_of_them, key):
    def change(manifest):
        first, *rest = manifest.workers
        return msgspec.structs.replace(manifest, workers=(msgspec.structs.replace(first, size=1), *rest))

    signed_again(all_of_them, key, change)
    with pytest.raises(VerifyError, match="says otherwise"):
        verify_together(workers, manifest=all_of_them)


@pytest.mark.parametrize("which", [0, 2])
def test_text_erased_since_is_no_difference(workers, all_of_them, key, which):
    eraser = Eraser(workers[which], key, url=TWICE, now=NOW)
    eraser.carry_out(eraser.plan_url(text=True), "complaint 7")
    eraser.close()
    assert whats(workers, manifest=all_of_them) == []


def test_logs_of_two_crawls_or_an_altered_one_make_no_manifest(workers, crawled):
    crawled.enter = lambda kind, _enter=crawled.enter, **fields: _enter(kind, run="r2", **fields)
    crawled.finish()
    with pytest.raises(ManifestError, match="of 2 crawls"):
        make([*workers, crawled.out], now=NOW)
    with pytest.raises(ManifestError, match="named before"):
        make([workers[0], workers[0]], now=NOW)
    segment = workers[0] / "log/seg-00000000.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"Example"', b'"Exampel"'))
    with pytest.raises(ManifestError, match="not the one that was signed"):
        make(workers, now=NOW)
    with pytest.raises(ManifestError, match="nothing signed here"):
        make([workers[0] / "warc"], now=NOW)


# -- verbs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run():
    app = typer.Typer()
    app.command()(verbs.verify)
    verbs_manifest.add_to(app)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def key_file(key, tmp_path):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = tmp_path / "private" / "log.key"
    path.parent.mkdir()
    path.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


def test_manifest_is_made_and_verified_by_the_verbs(run, workers, key_file, tmp_path):
    to = tmp_path / "all"
    made = run("manifest", *workers, "--to", to, "--key", key_file)
    assert made.exit_code == 0, made.output
    assert "1 last words are replaced by others." in made.stdout
    told = json.loads(run("manifest", *workers, "--to", to, "--key", key_file, "--json").stdout)
    assert [log["end"] for log in told["logs"]] == ["finished"] * 3
    checked = run("verify", *workers, "--manifest", to, "--key", told["key"])
    assert checked.exit_code == 0, checked.output
    assert "together, the logs of all workers as one crawl: nothing differs" in checked.stdout
    report = json.loads(run("verify", *workers, "--json").stdout)
    assert report["clean"]
    assert report["level"]["counts"]["logs"] == 3


def test_verbs_exit_1_where_something_differs_and_2_where_nothing_can_be_read(run, workers, key_file, tmp_path):
    to = tmp_path / "all"
    assert run("manifest", workers[0], workers[0], "--to", to, "--key", key_file).exit_code == 1
    assert run("manifest", *workers, "--to", to, "--key", tmp_path / "none").exit_code == 2
    assert run("manifest", *workers, "--to", workers[0], "--key", key_file).exit_code == 2
    assert run("verify", workers[0], workers[0]).exit_code == 1
    assert run("verify", *workers, "--manifest", tmp_path / "none").exit_code == 2
