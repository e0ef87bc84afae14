"""Images: the carried ones are CIFAR-10's, photographs are cropped and scaled, bad ones refused."""

import hashlib

import networks
import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import Model
from mtjkit_export import BinaryLayer, BinaryNet, PixelRule, encode
from mtjkit_host.datasets.images import load_images, to_input
from mtjkit_host.datasets.photo import load_photo
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from PIL import Image

CIFAR_MODEL = Model(CARRIED_MODEL.read_bytes())


def picture(path, size=(40, 20), left="red", right="blue"):
    """Write a picture of two halves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    image.save(path)
    return path


def test_the_carried_images_are_500_records_of_the_official_file():
    raw = CARRIED_IMAGES.read_bytes()
    assert len(raw) == 500 * 3073
    digest = "ba456e78b292ef2a6e366d304e587255370906951905b2e06af8e9f54f412f62"
    assert hashlib.sha256(raw).hexdigest() == digest
    images = load_images(CARRIED_IMAGES, CIFAR_MODEL)
    assert images.images.shape == (500, 32, 32, 3)
    assert images.labels[:8].tolist() == [3, 8, 8, 0, 6, 6, 1, 6]


def test_the_official_file_begins_with_the_carried_images(long_data):
    official = long_data("cifar-10-batches-bin/test_batch.bin")
    raw = CARRIED_IMAGES.read_bytes()
    with official.open("rb") as stream:
        assert stream.read(len(raw)) == raw


def test_the_first_images_are_taken_and_not_more_than_there_are():
    assert len(load_images(CARRIED_IMAGES, CIFAR_MODEL, 7)) == 7
    with pytest.raises(ConfigError, match="only 500"):
        load_images(CARRIED_IMAGES, CIFAR_MODEL, 501)


def test_a_photograph_is_centre_cropped_and_scaled(tmp_path):
    wide = load_photo(picture(tmp_path / "wide.png"), (32, 32, 3))
    assert wide[16, 2].tolist() == [255, 0, 0]
    assert wide[16, 29].tolist() == [0, 0, 255]
    tall = load_photo(picture(tmp_path / "tall.png", (20, 60)), (8, 8, 1))
    assert tall.shape == (8, 8, 1)
    assert (tall[4, 0, 0], tall[4, 7, 0]) == (76, 29)  # ITU-R 601 luma of red and blue


def test_a_picture_of_the_models_size_is_left_as_it_is(tmp_path):
    pixels = load_images(CARRIED_IMAGES, CIFAR_MODEL, 1).images[0]
    Image.fromarray(pixels).save(tmp_path / "same.png")
    assert (load_photo(tmp_path / "same.png", (32, 32, 3)) == pixels).all()


def test_16_bit_grey_keeps_its_brightness(tmp_path):
    Image.fromarray(np.full((10, 10), 128 << 8, np.uint16)).save(tmp_path / "deep.png")
    assert (load_photo(tmp_path / "deep.png", (4, 4, 1)) == 128).all()


def test_photographs_come_in_the_order_of_their_paths_and_without_labels(tmp_path):
    for name in ("b.jpg", "a/z.PNG", "c.jpeg", ".hidden.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    images = load_images(tmp_path, CIFAR_MODEL)
    assert images.names == ("a/z.PNG", "b.jpg", "c.jpeg")
    assert images.labels is None
    assert "no folder is named after a class" in images.remarks[-1]
    assert load_images(tmp_path / "b.jpg", CIFAR_MODEL).names == ("b.jpg",)
    (tmp_path / "a" / "z.PNG").unlink()
    assert load_images(tmp_path, CIFAR_MODEL, 1).names == ("b.jpg",)


def test_folders_named_after_classes_are_labels(tmp_path):
    picture(tmp_path / "ship" / "1.png")
    picture(tmp_path / "cat" / "1.png")
    images = load_images(tmp_path, CIFAR_MODEL)
    assert images.names == ("cat/1.png", "ship/1.png")
    assert images.labels.tolist() == [3, 8]
    picture(tmp_path / "unicorn" / "1.png")
    with pytest.raises(ConfigError, match="of its 3 classes the model lacks 'unicorn'"):
        load_images(tmp_path, CIFAR_MODEL)


def test_pictures_beside_cifar10_are_no_photographs(tmp_path):
    picture(tmp_path / "plot.png")
    (tmp_path / "test_batch.bin").write_bytes(CARRIED_IMAGES.read_bytes()[: 3 * 3073])
    images = load_images(tmp_path, CIFAR_MODEL)
    assert (len(images), images.names) == (3, ())


def test_bad_photographs_are_refused(tmp_path):
    good = picture(tmp_path / "good.png").read_bytes()
    for name, data in (
        ("cut.png", good[: len(good) // 2]),
        ("text.jpg", b"not a picture"),
        ("empty.png", b""),
        ("gif.png", b"GIF89a" + bytes(50)),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError, match=name):
            load_photo(tmp_path / name, (32, 32, 3))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_photo(tmp_path / "none.png", (32, 32, 3))
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(FormatError, match="too many pixels"):
        load_photo(tmp_path / "bomb.png", (32, 32, 3))


def test_what_holds_no_images_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds nothing that can be read; --data takes CIFAR"):
        load_images(tmp_path, CIFAR_MODEL)
    with pytest.raises(ConfigError, match="no such file"):
        load_images(tmp_path / "none", CIFAR_MODEL)
    torn = tmp_path / "torn.bin"
    torn.write_bytes(bytes(3072))
    with pytest.raises(FormatError, match="3073"):
        load_images(torn, CIFAR_MODEL)


def test_images_of_another_shape_than_the_models_are_refused(tmp_path):
    copy = tmp_path / "copy.bin"
    copy.write_bytes(CARRIED_IMAGES.read_bytes())
    with pytest.raises(ConfigError, match="7 x 6 x 3"):
        load_images(copy, Model(networks.build("plain")))
    two_channels = Model(networks.build("one pixel"))
    with pytest.raises(ConfigError, match="1 or 3 channels"):
        load_images(picture(tmp_path / "a.png"), two_channels)


def test_the_models_pixel_rule_is_applied():
    layers = [BinaryLayer.conv([[[[1] * 3] * 3]], [0]), BinaryLayer.dense([[1], [-1]])]
    rule = PixelRule(mul=512, add=255, div=510)
    network = BinaryNet("rule", layers, (3, 3, 1), rule, class_names=())
    pixels = np.arange(256, dtype=np.uint8)
    expected = [min(int(256 * p / 255 + 0.5) - 128, 127) for p in range(256)]
    assert to_input(Model(encode(network)), pixels).tolist() == expected
