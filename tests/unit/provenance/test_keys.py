"""Where a private key may lie, and who may read it."""

import os
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from provenance import keys


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "log.key"


def test_new_key_is_its_owners_alone_and_loads_again(path):
    made = keys.generate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keys.load(path).verifier("o").line() == made.verifier("o").line()


def test_key_whose_writing_failed_is_not_there(path, monkeypatch):
    def broken(_):
        assert not path.exists()
        raise OSError(5, "the disk is gone")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(keys.KeyFileError, match="the disk is gone"):
        keys.generate(path)
    assert list(path.parent.iterdir()) == []


def test_new_key_ignores_loose_umask(path):
    old = os.umask(0)
    try:
        keys.generate(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_existing_file_is_never_overwritten(path):
    keys.generate(path)
    before = path.read_bytes()
    with pytest.raises(keys.KeyFileError, match="never overwritten"):
        keys.generate(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_key_others_can_touch_is_refused_with_remedy(path, mode):
    keys.generate(path)
    path.chmod(mode)
    with pytest.raises(keys.KeyFileError, match="chmod 600"):
        keys.load(path)


def test_key_of_another_user_is_refused(path, monkeypatch):
    keys.generate(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(keys.KeyFileError, match="another user"):
        keys.load(path)


def test_symbolic_link_is_refused(path):
    keys.generate(path)
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(keys.KeyFileError, match="cannot be opened as a file of its own"):
        keys.load(link)


def test_pipe_is_refused_without_waiting(path):
    path.parent.mkdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(keys.KeyFileError, match="not a regular file"):
        keys.load(path)


@pytest.mark.parametrize("make", [keys.generate, keys.load])
def test_key_inside_output_folder_is_refused(tmp_path, make):
    with pytest.raises(keys.KeyFileError, match="handed on"):
        make(tmp_path / "out" / "sub" / "log.key", outside=[tmp_path / "out"])


@pytest.mark.parametrize("make", [keys.generate, keys.load])
def test_key_inside_output_folder_by_linked_folder_is_refused(tmp_path, make):
    (tmp_path / "out").mkdir()
    (tmp_path / "innocent").symlink_to(tmp_path / "out")
    with pytest.raises(keys.KeyFileError, match="handed on"):
        make(tmp_path / "innocent" / "log.key", outside=[tmp_path / "out"])


@pytest.mark.parametrize("make", [keys.generate, keys.load])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_key_inside_git_work_tree_is_refused(tmp_path, make, kind):
    git = tmp_path / "project" / ".git"
    git.parent.mkdir()
    git.mkdir() if kind == "folder" else git.write_text("gitdir: elsewhere")
    with pytest.raises(keys.KeyFileError, match="git work tree"):
        make(tmp_path / "project" / "deep" / "log.key")


def test_missing_key_is_refused(path):
    with pytest.raises(keys.KeyFileError, match="No such file"):
        keys.load(path)


def _other_kind():
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("content", [b"", b"not a key", b"\x00" * 5000, _other_kind()])
def test_file_that_holds_no_ed25519_key_is_refused(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(keys.KeyFileError, match="not an"):
        keys.load(path)


def test_key_shows_nothing_of_itself(path):
    key = keys.generate(path)
    assert key.private.private_bytes_raw().hex() not in repr(key)
    assert repr(key.private.private_bytes_raw()) not in repr(key)
