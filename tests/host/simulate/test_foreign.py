"""Binary nets on processors that the tests do not run on: aarch64, and x86-64 with AVX-512."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import networks
import numpy as np
import pytest
import records
from mtjkit_core.model import Model
from mtjkit_core.write_errors import KEEP, WriteErrors, fail_limit
from mtjkit_export import encode
from mtjkit_host.checks import bench_neon
from mtjkit_host.checks.bench_neon import COMPILER, FLAGS, FOREIGN, QEMU, SOURCES, case_bytes
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from support.nets import random_images, random_net, small_model

BARE = Path(__file__).with_name("foreign")
ISOLINUX, MODULES = Path("/usr/lib/ISOLINUX/isolinux.bin"), Path("/usr/lib/syslinux/modules/bios")
BOCHS_FILES = [ISOLINUX, MODULES / "mboot.c32", Path("/usr/share/bochs/BIOS-bochs-latest")]
BOCHS_FILES += [Path("/usr/share/vgabios/vgabios.bin")]
BOOT = "DEFAULT a\nPROMPT 0\nTIMEOUT 1\nLABEL a\n KERNEL mboot.c32\n APPEND /bare.elf\n"
BOCHSRC = """\
cpu: model=tigerlake
memory: guest=512, host=512
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path=boot.iso, status=inserted
boot: cdrom
display_library: term
port_e9_hack: enabled=1
log: bochs.log
panic: action=fatal
"""


def has_all(programs, files=()):
    """Whether the programs and files are there."""
    return all(map(shutil.which, programs)) and all(file.exists() for file in files)


def cases():
    """Networks of the vectors and random ones: (model, images, errors)."""
    errors = WriteErrors(5, KEEP, records.LIMITS[1])
    for name in [*networks.NETWORKS, *networks.KINDS]:
        yield *small_model(name, 2), errors
    for seed in range(40):
        model = Model(encode(random_net(np.random.default_rng(seed))))
        yield model, random_images(model, 2, seed), errors


def expected(model, images, errors):
    """Scores, counts and maps of numpy, as cases.c gives them."""
    maps = []
    scores, counts = BinaryNumpy(model).run(images, errors=errors, trace=maps)
    parts = [scores.astype(np.int32).view(np.uint32), counts.astype(np.uint32)]
    parts += [np.concatenate(maps, axis=1)] if maps else []
    return np.concatenate([part.ravel() for part in parts])


@pytest.fixture(scope="module")
def written():
    """All cases, and what they should give."""
    every = list(cases())
    return b"".join(case_bytes(*one) for one in every), np.concatenate(
        [expected(*one) for one in every]
    )


needs_aarch64 = pytest.mark.skipif(
    not has_all([COMPILER, QEMU]),
    reason=f"{COMPILER} or {QEMU} is missing (Debian: gcc-aarch64-linux-gnu, qemu-user)",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program that runs cases on aarch64."""
    return bench_neon.build_program(tmp_path_factory.mktemp("aarch64"))


@pytest.mark.emulated
@needs_aarch64
def test_the_same_bits_on_aarch64(written, program):
    done = subprocess.run([QEMU, program], input=written[0], capture_output=True, check=True)
    assert (np.frombuffer(done.stdout, np.uint32) == written[1]).all()


@pytest.mark.emulated
@needs_aarch64
def test_the_instructions_of_an_image_are_counted_on_aarch64(program, tmp_path):
    plugin = bench_neon.build_plugin(tmp_path)
    model, images = small_model("padded", 3)

    def count(n, rate=0.0):
        case = case_bytes(model, images[:n], WriteErrors(limits=fail_limit(rate)))
        return bench_neon.instructions(program, plugin, case)

    first = count(1)
    per_image = count(2) - first
    assert count(1) == first
    assert count(3) - count(2) == pytest.approx(per_image, rel=0.02)  # popcounts skip zeros
    # A bit that may fail is drawn and decided: more than an instruction for each.
    bits = sum(layer.map_bits for layer in model.layers[:-1])
    assert count(2, 0.3) - count(1, 0.3) > per_image + bits


@pytest.mark.slow
@pytest.mark.skipif(
    not has_all(["bochs", "xorriso", "script", "objcopy", "gcc"], BOCHS_FILES),
    reason="Bochs is missing (Debian: bochs, bochs-term, bochsbios, vgabios, isolinux, "
    "syslinux-common, xorriso)",
)
@pytest.mark.parametrize(("level", "flags"), [(2, []), (1, ["-DMTJ_NO_AVX512"])])
def test_the_same_bits_on_avx_512(written, tmp_path, level, flags):
    """A system without an operating system, in an emulator of a Tiger Lake."""
    (tmp_path / "cases.bin").write_bytes(written[0])
    (tmp_path / "expected.bin").write_bytes(written[1].tobytes())
    bare = "-ffreestanding -nostdlib -fno-pic -no-pie -mno-red-zone -fno-stack-protector"
    bare += f" -fno-tree-loop-distribute-patterns -T {BARE / 'bare.ld'} -Wl,--build-id=none"
    parts = [BARE / "boot.S", BARE / "bare.c", FOREIGN / "cases.c"]
    command = ["gcc", *FLAGS, *bare.split(), *flags, "-o", "bare64", *parts, *SOURCES]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    disc = tmp_path / "disc/isolinux"
    disc.mkdir(parents=True)
    convert = ["objcopy", "-O", "elf32-i386", "bare64", "disc/bare.elf"]
    subprocess.run(convert, check=True, cwd=tmp_path)
    modules = [MODULES / f"{name}.c32" for name in ("ldlinux", "mboot", "libcom32")]
    for file in [ISOLINUX, *modules]:
        shutil.copy(file, disc)
    (disc / "isolinux.cfg").write_text(BOOT)
    image = "xorriso -as mkisofs -quiet -o boot.iso -b isolinux/isolinux.bin -no-emul-boot"
    image += " -c isolinux/boot.cat -boot-load-size 4 -boot-info-table disc"
    subprocess.run(image.split(), check=True, cwd=tmp_path, capture_output=True)
    (tmp_path / "bochsrc").write_text(BOCHSRC)
    (tmp_path / "rc").write_text("continue\n")
    # Bochs wants a terminal, and does not end by itself.
    run = ["script", "-qfc", "exec bochs -q -f bochsrc -rc rc", "screen"]
    bochs = subprocess.Popen(
        run, cwd=tmp_path, env={**os.environ, "TERM": "xterm"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        found = None
        until = time.monotonic() + 600
        while not found and time.monotonic() < until:
            time.sleep(1)
            screen = (tmp_path / "screen").read_text(errors="replace")
            found = re.search(r"MTJKIT (\d) WORDS (\d+) MISSING (\d+) WRONG (\d+) END", screen)
    finally:
        subprocess.run(["pkill", "-9", "-s", str(bochs.pid)], check=False)
        bochs.wait()
    assert found, "Bochs told nothing in 600 s"
    assert [int(number) for number in found.groups()] == [level, len(written[1]), 0, 0]
