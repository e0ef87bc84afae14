"""Pictures by folder, by number, by a map file and by labels.csv; of every kind; as seen."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_host.datasets.images import load_images
from mtjkit_host.datasets.load import has_train_part, load_dataset
from mtjkit_host.datasets.photo import SUFFIXES, load_photo
from PIL import Image

SIGNS = ("20 Km/h", "30 Km/h", "Stop")


def net(names=SIGNS, shape=(6, 8, 3)):
    return SimpleNamespace(name="n", input_shape=shape, classes=len(names), class_names=names)


def picture(path, colour="red", size=(8, 6), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def test_every_kind_of_picture(tmp_path):
    for suffix in SUFFIXES:
        kept = load_photo(picture(tmp_path / f"a{suffix}", 200, mode="L"), (6, 8, 1))
        assert np.abs(kept.astype(int) - 200).max() <= 2, suffix
    assert len(load_images(tmp_path, net())) == len(SUFFIXES)


def test_folders_that_are_numbers(tmp_path):
    for folder in ("00002", "00000"):
        picture(tmp_path / folder / "1.ppm")
    found = load_images(tmp_path, net())
    assert found.names == ("00000/1.ppm", "00002/1.ppm")
    assert found.labels.tolist() == [0, 2]
    assert "taken as numbers of the model's classes (0 is 20 Km/h)" in found.remarks[-1]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_map_file_says_what_folders_mean(tmp_path, separator):
    for folder in ("00014", "speed20"):
        picture(tmp_path / folder / "1.png")
    rows = (("folder", "class"), ("14", "Stop"), ("speed20", "20 Km/h"))
    (tmp_path / "classes.csv").write_text("\n".join(map(separator.join, rows)))
    found = load_images(tmp_path, net())
    assert (found.labels.tolist(), found.remarks) == ([2, 0], ())
    picture(tmp_path / "other" / "1.png")
    with pytest.raises(ConfigError, match=r"classes\.csv: says no class for the folder 'other'"):
        load_images(tmp_path, net())


def test_a_table_of_labels_beside_pictures(tmp_path):
    for name in ("a/1.png", "2.png", "3.png"):
        picture(tmp_path / name)
    table = tmp_path / "labels.csv"
    table.write_text("\ufeffWidth,Path,ClassId\n8,2.png,2\n8,a/1.png,0\n")
    for path in (tmp_path, table):
        found = load_images(path, net())
        assert found.names == ("2.png", "a/1.png")
        assert found.labels.tolist() == [2, 0]
        assert "1 pictures" in found.remarks[0]
        assert "not in labels.csv" in found.remarks[0]
    table.write_text("Filename;Label\n2.png;Stop\n\n3.png;30 Km/h\n")
    assert load_images(tmp_path, net()).labels.tolist() == [2, 1]
    table.write_text("path,label\n2.png,Stop\n3.png,Cow\n")
    with pytest.raises(ConfigError, match="lacks 'Cow'"):
        load_images(tmp_path, net())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names the columns none"),
        ("path,colour\n2.png,1\n", "names the columns 'path', 'colour'; expected path and label"),
        ("path,label\n", "no line below"),
        ("path,label\n2.png\n", "line 2 has no path or label"),
        ("path,label\n2.png, \n", "line 2 has no path or label"),
    ],
)
def test_tables_that_say_nothing_are_refused(tmp_path, text, why):
    picture(tmp_path / "2.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(FormatError, match=why):
        load_images(tmp_path, net())


def test_a_table_of_pictures_that_are_not_there_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\nnone.png,1\n")
    with pytest.raises(ConfigError, match=r"1 pictures are not there: .*none.png"):
        load_images(tmp_path, net())
    (tmp_path / "labels.csv").write_bytes(b"path,label\n\xff\xfe,1\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_images(tmp_path, net())


def test_a_folder_sorted_by_class_gives_images_of_every_class(tmp_path):
    for folder in ("0", "1", "2"):
        for n in range(5):
            picture(tmp_path / folder / f"{n}.png")
    found = load_images(tmp_path, net(), 6, seed=3)
    assert np.bincount(found.labels).tolist() == [2, 2, 2]
    assert found.names == load_images(tmp_path, net(), 6, seed=3).names
    with pytest.raises(ConfigError, match="--images 16: only 15"):
        load_images(tmp_path, net(), 16)


def test_what_is_done_to_pictures_is_said(tmp_path):
    picture(tmp_path / "Stop" / "grey.png", 7, mode="L")
    picture(tmp_path / "Stop" / "large.png", size=(16, 12))
    said = load_images(tmp_path, net()).remarks
    assert said == (
        "1 of 2 pictures: cropped and scaled to 8 x 6",
        "1 of 2 pictures: grey, taken as RGB",
    )
    assert (
        "1 of 2 pictures: in colours, taken as grey"
        in load_images(tmp_path, net(shape=(6, 8, 1))).remarks
    )


def test_transparency_is_laid_on_white(tmp_path):
    for mode, colour, seen in (
        ("RGBA", (0, 0, 0, 0), 255),
        ("RGBA", (0, 0, 0, 255), 0),
        ("RGBA", (0, 0, 0, 127), 128),
        ("LA", (0, 0), 255),
    ):
        path = picture(tmp_path / "Stop" / "a.png", colour, mode=mode)
        assert (load_photo(path, (6, 8, 3)) == seen).all()
    palette = Image.new("P", (8, 6), 0)
    palette.putpalette([0, 0, 0])
    palette.save(path, transparency=0)
    assert (load_photo(path, (6, 8, 3)) == 255).all()
    assert "with transparency, laid on white" in load_images(tmp_path, net()).remarks[0]


def test_pictures_of_their_own_size(tmp_path):
    picture(tmp_path / "a" / "1.png", 5, (5, 4), "L")
    assert load_dataset(tmp_path).images.shape == (1, 4, 5, 1)
    flat = load_images(tmp_path, net(("a",), (1, 1, 20)))
    assert flat.images.shape == (1, 1, 1, 20)
    picture(tmp_path / "a" / "2.png", 5, (6, 4), "L")
    with pytest.raises(ConfigError, match=r"2.png: of another size"):
        load_dataset(tmp_path)


def test_parts_for_training_and_test(tmp_path):
    picture(tmp_path / "train" / "a" / "1.png")
    picture(tmp_path / "test" / "a" / "2.png")
    assert has_train_part(tmp_path)
    assert load_dataset(tmp_path).names == ("a/2.png",)
    assert load_dataset(tmp_path, split="train").names == ("a/1.png",)
    picture(tmp_path / "bus" / "1.png")  # now they are classes
    assert not has_train_part(tmp_path)
    assert load_dataset(tmp_path).classes == ("a", "bus")


def test_hidden_folders_and_those_of_file_managers_are_passed_over_and_named(tmp_path):
    """As an editor, a file manager and a disk station leave them; one is named as a picture."""
    for name in ("Stop/1.png", "Stop/.ipynb_checkpoints/1.png", ".thumbnails/1.png"):
        picture(tmp_path / name)
    picture(tmp_path / "Stop" / "@eaDir" / "1.png" / "thumb.jpg")
    (tmp_path / "Stop" / "2.png").mkdir()
    found = load_images(tmp_path, net())
    assert (found.names, found.labels.tolist()) == (("Stop/1.png",), [2])
    names = "'.thumbnails', 'Stop/.ipynb_checkpoints', 'Stop/@eaDir' passed over"
    assert found.remarks == (f"{tmp_path}: {names}",)


def test_links_to_folders_are_followed_once(tmp_path):
    picture(tmp_path / "elsewhere" / "1.png")
    data = tmp_path / "data"
    data.mkdir()
    (data / "Stop").symlink_to("../elsewhere")
    (data / "Stop" / "loop").symlink_to(data)
    found = load_images(data, net())
    assert (found.names, found.labels.tolist()) == (("Stop/1.png",), [2])


def test_pictures_of_other_kinds_are_counted_and_named(tmp_path):
    """A JPEG named .jfif, as browsers save it, or without any suffix is read."""
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jfif", "JPEG")
    for name in ("b.gif", "c.tif", "d.tiff"):
        picture(tmp_path / name)
    found = load_images(tmp_path, net())
    assert found.names == ("a.jfif",)
    assert "3 pictures of kinds that are not read (.gif, .tif, .tiff) left out" in found.remarks[0]
    (tmp_path / "a.jfif").rename(tmp_path / "a")
    assert load_images(tmp_path / "a", net()).names == ("a",)
    (tmp_path / "a").unlink()
    with pytest.raises(ConfigError, match=r"3 pictures of kinds that are not read"):
        load_images(tmp_path, net())


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("x.gif", b"GIF89a", "a GIF picture: convert it to PNG"),
        ("x.tif", b"II*\0", "a TIFF picture: convert"),
        ("x.heic", b"\0\0\0\x18ftypheic", "a HEIC or AVIF picture"),
        ("cifar-10-binary.tar.gz", b"\x1f\x8b\x08", "an archive (gzip): unpack it"),
        ("x.zip", b"PK\3\4", "an archive (zip): unpack it"),
        ("test_batch.bin", b"<!DOCTYPE html>", "a web page, perhaps of a download that failed"),
        ("x.npz", b"version https://git-lfs.github.com", "a Git LFS pointer"),
    ],
)
def test_a_file_that_is_no_data_set_is_named(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=re.escape(f"{name}: {why}")):
        load_images(tmp_path / name, net())
