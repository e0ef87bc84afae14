"""Files that are not a data set, told by their first bytes, with what to do about them."""

from __future__ import annotations

from pathlib import Path

_PICTURE = "convert it to PNG or JPEG"
_ARCHIVE = "unpack it and name what it holds"
_STARTS = (
    (b"GIF8", f"a GIF picture: {_PICTURE}"),
    (b"II*\0", f"a TIFF picture: {_PICTURE}"),
    (b"MM\0*", f"a TIFF picture: {_PICTURE}"),
    (b"\x1f\x8b", f"an archive (gzip): {_ARCHIVE}"),
    (b"PK\3\4", f"an archive (zip): {_ARCHIVE}"),
    (b"BZh", f"an archive (bzip2): {_ARCHIVE}"),
    (b"\xfd7zXZ", f"an archive (xz): {_ARCHIVE}"),
    (b"7z\xbc\xaf", f"an archive (7z): {_ARCHIVE}"),
    (b"\x89HDF", "an HDF5 file: save its arrays as .npz"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
)
_PAGES = (b"<!doctype html", b"<html")
_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")

UNREAD_PICTURES = (".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".svg")
"""Suffixes of pictures that are not read."""


def what_it_is(file: Path) -> str | None:
    """What a regular file is, and what to do, where it is known to hold no data set."""
    try:
        with file.open("rb") as opened:
            start = opened.read(512)
    except OSError:
        return None  # whoever reads it says why
    for first, what in _STARTS:
        if start.startswith(first):
            return what
    if start[4:8] == b"ftyp" and start[8:12] in _BRANDS:
        return f"a HEIC or AVIF picture: {_PICTURE}"
    if start[257:262] == b"ustar":
        return f"an archive (tar): {_ARCHIVE}"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        return "a web page, perhaps of a download that failed: fetch the file again"
    return None
