"""Sessions with MicroPython's Unix port: the reference's scores through a real line."""

import hashlib

import networks
import numpy as np
import pytest
import records
from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, FormatError, LinkError, ProtocolError
from mtjkit_core.model import Model
from mtjkit_core.reference import run_image
from mtjkit_core.write_errors import CERTAIN, FLIP, KEEP, NO_ERRORS, WriteErrors, fail_limit
from mtjkit_host.boards.unix_port import UnixPort
from mtjkit_host.link import requests as peer
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session
from mtjkit_host.simulate.binary_numpy import BinaryNumpy, program
from support.nets import random_images, small_model

LIMIT = fail_limit(0.024)


@pytest.fixture(scope="module")
def device(micropython):
    with UnixPort(micropython) as link:
        yield Session(link, timeout_s=20)


def small(name, count=20):
    """A model file and int8 images for it."""
    model, _ = small_model(name, 0)
    return model.data, random_images(model, count)


@pytest.mark.parametrize("name", [*networks.NETWORKS, *networks.GEOMETRIES])
def test_scores_and_counts_are_the_references(device, name):
    raw, images = small(name, 3)
    by_layer = [(LIMIT * n, CERTAIN - LIMIT * n) for n in range(len(Model(raw).layers) - 1)]
    for limits in (LIMIT, by_layer):
        errors = WriteErrors(1 << 63 | 5, KEEP, limits)
        device.program(raw, errors)
        result = device.run(images, first_index=11)
        check(raw, images, errors, result)


@pytest.mark.parametrize("n", range(records.CHIP_RUNS))
def test_scores_and_counts_of_chips_are_the_references(device, n):
    raw, images = small("thin", 3)
    errors = records.chip_errors(n, len(Model(raw).layers))
    programmed = device.program(raw, errors)
    result = device.run(images, first_index=11)
    stored, counts = program(Model(raw), errors)
    assert (programmed.bits_written, programmed.bits_wrong) == (counts[0], counts[2])
    check(stored.data, images, errors, result)
    assert not device.program(raw, errors).sent  # the weights are there


def check(raw, images, errors, result):
    """A result is the reference's."""
    counts = [0] * 5
    for k, image in enumerate(images):
        scores = run_image(Model(raw), image.tobytes(), 11 + k, errors, counts)
        assert result.scores[k].tolist() == scores
    assert result.counts.tolist() == counts
    assert result.backend == "unix"
    assert (result.device_us > 0).all()


def test_the_highest_index_and_a_rate_of_one(device):
    raw, images = small("padded", 1)
    device.program(raw, WriteErrors(limits=CERTAIN))
    result = device.run(images, first_index=m.MAX_INDEX)
    indices = np.array([m.MAX_INDEX], np.uint32)
    expected, counts = BinaryNumpy(Model(raw)).run(images, indices, WriteErrors(limits=CERTAIN))
    assert (result.scores == expected).all()
    assert (result.counts == counts.sum(0)).all()


def test_weights_are_written_once_with_errors(device):
    raw, images = small("pooled")
    by_layer = [(n, LIMIT) for n in range(len(Model(raw).layers))]
    for limits in (LIMIT, (LIMIT, 0), by_layer):
        check_weights(device, raw, images, limits)
    assert device.program(raw, NO_ERRORS).sent


def check_weights(device, raw, images, limits):
    """Weights are written once, and again only with other errors."""
    errors = WriteErrors(3, FLIP, 0, limits)
    done = device.program(raw, errors)
    assert done.sent
    stored, counts = program(Model(raw), errors)
    written, _, bits_wrong, *_ = counts.tolist()
    assert (done.bits_written, done.bits_wrong) == (written, bits_wrong)
    expected, _ = BinaryNumpy(stored).run(images, np.arange(20, dtype=np.uint32))
    assert (device.run(images).scores == expected).all()
    assert not device.program(raw, errors).sent
    again = device.program(raw, WriteErrors(3, FLIP, 1, limits))
    assert not again.sent
    assert (again.bits_written, again.bits_wrong) == (written, bits_wrong)
    assert device.program(raw, WriteErrors(4, FLIP, 0, limits)).sent
    assert device.program(raw, WriteErrors(4, KEEP, 0, limits)).sent


def test_a_model_that_is_there_is_not_sent_again(device):
    raw, _ = small("plain")
    sent = []
    assert device.program(raw, progress=lambda done, size: sent.append((done, size))).sent
    assert sent[-1] == (len(raw), len(raw))
    assert not device.program(raw, WriteErrors(limits=5)).sent
    assert device.info.model_sha256 == hashlib.sha256(raw).digest()


def test_other_images_under_the_same_indices_are_computed_anew(device):
    raw, images = small("plain")
    device.program(raw)
    twin = BinaryNumpy(Model(raw))
    for some in (images[:8], images[8:16]):
        expected, _ = twin.run(some, np.arange(8, dtype=np.uint32))
        assert (device.run(some).scores == expected).all()


def test_a_run_left_in_the_middle_does_not_disturb_the_next(device):
    raw, images = small("plain")
    device.program(raw)
    next(iter(device.classify(images)))
    expected, _ = BinaryNumpy(Model(raw)).run(images[::-1], np.arange(20, dtype=np.uint32))
    assert (device.run(images[::-1]).scores == expected).all()


def test_a_thousand_classes_come_in_parts(device, monkeypatch):
    shape = ((4, 4, 1), [(networks.CONV, 1, 0, 8), (networks.DENSE, 0, 0, 1000)])
    monkeypatch.setitem(networks.NETWORKS, "many", shape)
    raw, images = small("many", 10)
    device.program(raw)
    expected, _ = BinaryNumpy(Model(raw)).run(images, np.arange(10, dtype=np.uint32))
    assert (device.run(images).scores == expected).all()


def test_no_images(device):
    raw, images = small("plain")
    device.program(raw)
    assert device.run(images[:0]).scores.shape == (0, 10)


def test_the_kernel_can_be_named(device):
    raw, images = small("thin")
    for kernel in ("python", "viper"):
        assert device.program(raw, kernel=kernel).kernel == kernel
        assert device.run(images[:2]).kernel == kernel
    assert device.program(raw).kernel != "python"  # auto takes the best again


def test_a_net_of_one_layer_runs_on_the_best_kernel(device):
    raw, images = small("one layer")
    assert device.program(raw).kernel != "python"
    expected, _ = BinaryNumpy(Model(raw)).run(images[:2], np.arange(2, dtype=np.uint32))
    assert (device.run(images[:2]).scores == expected).all()


def test_a_kernel_that_does_not_load_is_one_line(device):
    with pytest.raises(ConfigError, match=r"^the device says: kernel asm_thumb .*$"):
        device.program(small("thin")[0], kernel="asm_thumb")


def test_images_of_another_shape(device):
    raw, images = small("plain")
    device.program(raw)
    for wrong in (images[:, 1:], images[0], images.astype(np.int32)):
        with pytest.raises(ConfigError):
            device.classify(wrong)
    with pytest.raises(ConfigError):
        device.classify(images, first_index=-1)


def test_a_damaged_model_is_not_sent(device):
    raw = networks.build("plain")
    raw[100] ^= 1
    with pytest.raises(FormatError, match="checksum"):
        device.program(bytes(raw))


def test_a_configuration_that_no_device_can_take_is_refused_here(device):
    raw, _ = small("thin")
    with pytest.raises(ConfigError, match="kernel 'x' is unknown"):
        device.program(raw, kernel="x")
    with pytest.raises(ConfigError, match="fail limits of 9 layers for feature maps"):
        device.program(raw, WriteErrors(limits=[(n, 0) for n in range(9)]))


def test_as_many_layers_as_there_can_be(device, monkeypatch):
    layers = [(networks.CONV, 1, 0, 1)] * 62 + [
        (networks.DENSE, 0, 0, 1),
        (networks.DENSE, 0, 0, 2),
    ]
    monkeypatch.setitem(networks.NETWORKS, "deep", ((2, 2, 1), layers))
    raw, images = small("deep", 2)
    limits = [(n << 26, CERTAIN - (n << 20)) for n in range(64)]
    errors = WriteErrors(7, KEEP, limits[:-1], limits)
    device.program(raw, errors)
    result = device.run(images, first_index=11)
    check(program(Model(raw), errors)[0].data, images, errors, result)


def test_programming_comes_first(micropython):
    with UnixPort(micropython) as link:
        session = Session(link)
        with pytest.raises(ConfigError, match="program"):
            session.classify(small("plain")[1])


def test_a_model_too_large_for_the_device_names_both_numbers(micropython, monkeypatch):
    shape = ((32, 32, 3), [(networks.CONV, 0, 0, 64), (networks.DENSE, 0, 0, 64)])
    monkeypatch.setitem(networks.NETWORKS, "large", shape)
    raw, _ = small("large", 1)
    with UnixPort(micropython, heap="400K") as link:
        session = Session(link)
        with pytest.raises(
            ConfigError,
            match=r"^the device says: the model needs \d+ bytes of memory, \d+ are free$",
        ):
            session.program(raw)
        raw, images = small("plain")
        session.program(raw)  # a smaller one still fits
        session.run(images)


def test_another_protocol_version(device, monkeypatch):
    monkeypatch.setattr(peer.m, "VERSION", 4)
    with pytest.raises(ProtocolError, match="the host speaks protocol version 4, this firmware"):
        device.program(small("plain")[0])


def test_firmware_of_protocol_version_1(device, monkeypatch):
    # Its INFO as it was: the version stands first in every version.
    body = bytes.fromhex("01050200ee000000") + bytes(96)
    monkeypatch.setattr(device._requests, "request", lambda *a, **k: peer.Frame(0x81, body, False))
    with pytest.raises(ProtocolError, match="the firmware speaks protocol version 1, this mtjkit"):
        device.program(small("plain")[0])


def test_stop_ends_the_server(micropython):
    port = UnixPort(micropython)
    with port as link:
        Session(link).stop()
        with pytest.raises(LinkError):
            Session(link, hello_s=3)


@pytest.mark.slow
def test_a_device_that_computes_for_long_gives_signs_of_life(micropython, monkeypatch):
    shape = ((20, 20, 3), [(networks.CONV, 1, 0, 64)] * 6 + [(networks.DENSE, 0, 0, 4)])
    monkeypatch.setitem(networks.NETWORKS, "long", shape)
    raw, images = small("long", 1)
    times = []  # when each good frame came
    noted = property(lambda link: times[-1], lambda link, time: times.append(time))
    monkeypatch.setattr(Link, "heard_at", noted, raising=False)
    with UnixPort(micropython, heap="1M") as link:  # a large heap takes long to be swept
        session = Session(link, timeout_s=20)
        session.program(raw, kernel="python")
        before = len(times)
        [result] = session.classify(images)
        heard = times[before:]
    computing_s = result.device_us / 1e6
    assert computing_s > 1.2, "too short to tell: give the network more layers"
    # One frame takes the image, one brings the result: what comes well after the one and before
    # the other is a heartbeat.
    assert any(heard[0] + 0.5 < time < heard[-1] for time in heard[1:])
