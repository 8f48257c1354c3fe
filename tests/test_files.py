"""Files: whole or not at all, and nothing of somebody else is written over."""

import errno

import pytest

from mrcnn_lite import files
from mrcnn_lite.files import check_output, is_ours, output_folder, write_whole


def test_a_file_is_replaced_whole_and_a_download_beside_it_stays(tmp_path):
    path, download = tmp_path / "photo.png", tmp_path / "photo.png.part"
    download.write_bytes(b"half a photograph")
    write_whole(path, b"one")
    write_whole(path, b"t", b"wo", previous=tmp_path / "before")
    assert path.read_bytes() == b"two" and (tmp_path / "before").read_bytes() == b"one"
    assert download.read_bytes() == b"half a photograph"
    assert len([*tmp_path.iterdir()]) == 3


def test_the_longest_names_are_possible(tmp_path):
    for name in ("x" * 251 + ".png", "é" * 125 + ".png", "𝒳" * 62 + ".png"):
        write_whole(tmp_path / name, b"1")
        assert (tmp_path / name).read_bytes() == b"1"


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left.*the file that was there is whole"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]


def test_row_1_what_may_be_written(tmp_path):
    mine, theirs, link = tmp_path / "mine", tmp_path / "theirs", tmp_path / "link"
    mine.write_bytes(b"MARK\n1")
    theirs.write_bytes(b"1 MARK")
    link.symlink_to(tmp_path / "nowhere")
    assert is_ours(mine, b"MARK\n") and not is_ours(theirs, b"MARK\n")
    check_output(mine, "--json", b"MARK")
    check_output(tmp_path / "new" / "file", "--json", b"MARK")
    assert (tmp_path / "new").is_dir()
    for path in (theirs, link):
        with pytest.raises(ValueError, match=f"--json {path}: exists, .*; choose another name"):
            check_output(path, "--json", b"MARK")
    with pytest.raises(ValueError, match="is a folder; name a file"):
        check_output(tmp_path, "--json", b"MARK")
    for path in (theirs, theirs / "deeper" / "down"):
        with pytest.raises(ValueError, match=r"--out .*: is, or lies in, a file; name a folder"):
            output_folder(path, "--out")
