"""Every kernel that loads here against the vectors; runs on CPython and MicroPython."""

import sys

import networks
import records
from mtjkit_core import footprint
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import AVERAGES
from mtjkit_core.model import Model
from mtjkit_core.streams import BUFFER, place_word
from mtjkit_core.write_errors import WriteErrors
from mtjkit_device import engine
from mtjkit_device.kernels import KERNELS, load_kernel


def kernels():
    """Names of the kernels that load here; the reference would take minutes on a small board."""
    names = []
    for name in KERNELS:
        try:
            load_kernel(name)
            names.append(name)
        except ConfigError:
            pass
    return names if sys.maxsize >> 32 else names[:-1]


ON_MICROPYTHON = sys.implementation.name == "micropython"
PLAIN = ("average", "one layer", "class bits")  # what the kernel python runs on MicroPython
PYTHONS_MACS = 500_000  # the most that it computes there; on CPython it computes all
PYTHONS_RUN = 4  # its run of every record: core's tests compute the others by the same reference


def stored_maps(made, image, index):
    """Checksums of the stored maps, layer by layer through the kernel's interface."""
    kernel = made._kernel
    kernel.erase(made._halves, index)
    source = image
    maps = []
    for n, layer in enumerate(made.model.layers[:-1]):
        kernel.layer_map(n, source, made._intended)
        if layer.output == AVERAGES:
            source = made._intended
            maps.append(records.crc(source[: 4 * layer.map_words]))
            continue
        kernel.seed(made._state, made._key, index, place_word(BUFFER, n, 0))
        source = made._halves[n & 1]
        kernel.write(n, source, made._intended, made._state, made._errors[n], made.counts)
        maps.append(records.crc(source[: 4 * layer.map_words]))
    return maps


def check_runs(kernel, record, model, images, errors_of=records.errors_of_run):
    name = record["name"]
    made = engine.Engine(model, kernel)
    assert made.kernel == kernel
    for n, run in enumerate(record["runs"]):
        if kernel == "python" and n != min(PYTHONS_RUN, len(record["runs"]) - 1):
            continue
        image = images[n % 3]
        made.configure(errors_of(n, len(model.layers)))
        made.run(image, 77777 * n)
        where = (kernel, name, n)
        counts = run["counts"]
        assert list(made.counts)[: len(counts)] == counts, where
        assert list(made.scores) == run["scores"], where
        assert stored_maps(made, image, 77777 * n) == run["maps"], where


def test_runs_match_the_vectors():
    for record in records.load("networks"):
        name = record["name"]
        model = Model(networks.build(name))
        images = [networks.image(name, seed) for seed in range(3)]
        for kernel in kernels():
            if kernel == "python" and ON_MICROPYTHON and model.macs > PYTHONS_MACS:
                continue
            check_runs(kernel, record, model, images)


def test_geometries_and_kinds_match_the_vectors():
    for record in records.load("geometries") + records.load("kinds"):
        name = record["name"]
        model = Model(networks.build(name))
        images = [networks.image(name, seed) for seed in range(3)]
        for kernel in kernels():
            if refusal(kernel, model):
                continue
            slow = ON_MICROPYTHON or name in networks.KINDS
            if kernel == "python" and slow and name not in PLAIN:
                continue  # the reference is slow, and core tests it too
            check_runs(kernel, record, model, images)
            for program in record["programs"]:
                errors = records.errors_of_program(program["rate"])
                check_program(kernel, name, networks.build(name), errors, program)


def refusal(kernel, model):
    """What a kernel says of the first layer that it does not compute; "" if it computes all."""
    kind, _ = load_kernel(kernel)
    for layer in model.layers:
        why = kind.refuses(layer)
        if why:
            return f"kernel {kernel} does not compute layer {layer.index} ({why})"
    return ""


def test_a_kernel_names_the_layer_that_it_refuses():
    for name in networks.KINDS:
        model = Model(networks.build(name))
        best = ""
        for kernel in kernels():
            text = refusal(kernel, model)
            if text:
                assert text in refused(engine.Engine, model, kernel)
            else:
                best = best or kernel
        if best:
            assert engine.Engine(model, "auto").kernel == best
            loaded = [one for one in sys.modules if one == "mtjkit_device.kernels.native"]
            assert not loaded or best == "native"  # no memory is lost to those that refuse
    assert engine.Engine(Model(networks.build("plain")), "auto").kernel == kernels()[0]


def test_runs_with_limits_for_each_layer_and_direction_match_the_vectors():
    for record in records.load("networks_1_1"):
        name = record["name"]
        model = Model(networks.build(name))
        images = [networks.image(name, seed) for seed in range(3)]
        for kernel in kernels():
            if kernel == "python" and ON_MICROPYTHON and model.macs > PYTHONS_MACS:
                continue
            check_runs(kernel, record, model, images, records.uneven_errors)


def test_runs_and_weights_on_chips_match_the_vectors():
    for record in records.load("networks_1_2"):
        name = record["name"]
        data = networks.build(name)
        model = Model(data)
        images = [networks.image(name, seed) for seed in range(3)]
        for kernel in kernels():
            if kernel == "python" and name != "thin":
                continue  # the reference is slow, and core tests it too
            check_runs(kernel, record, model, images, records.chip_errors)
            for n, program in enumerate(record["programs"]):
                errors = records.chip_errors(n, len(model.layers))
                check_program(kernel, name, data, errors, program)


def test_runs_over_random_bits_match_the_vectors():
    for record in records.load("networks_1_3"):
        name = record["name"]
        model = Model(networks.build(name))
        images = [networks.image(name, seed) for seed in range(3)]
        for kernel in kernels():
            if kernel == "python" and name != "thin":
                continue  # the reference is slow, and core tests it too
            check_runs(kernel, record, model, images, records.random_errors)


def test_a_chip_leaves_nothing_behind():
    name = "thin"
    for kernel in kernels():
        made = engine.Engine(Model(networks.build(name)), kernel)
        made.configure(records.random_errors(2, len(made.model.layers)))
        made.configure(records.errors_of_run(3))
        made.run(networks.image(name, 0), 3 * 77777)
        run = next(one for one in records.load("networks") if one["name"] == name)["runs"][3]
        assert list(made.scores) == run["scores"]


def test_the_assembler_for_any_cortex_m_matches_the_vectors():
    if "asm_thumb" not in kernels():
        return
    from mtjkit_device.kernels import asm_thumb, thumb_rows

    taken = asm_thumb.rows
    asm_thumb.rows = thumb_rows.rows
    try:
        check_rows(["asm_thumb"])
        for record in records.load("networks"):
            name = record["name"]
            images = [networks.image(name, seed) for seed in range(3)]
            check_runs("asm_thumb", record, Model(networks.build(name)), images)
    finally:
        asm_thumb.rows = taken


def test_rows_of_every_length_match_the_vectors():
    check_rows(kernels())


def check_rows(names):
    for record in records.load("rows"):
        model = Model(networks.with_rows(record["words"]))
        for kernel in names:
            if kernel == "python" and ON_MICROPYTHON and record["words"] > 4:
                continue  # the reference is slow, and runs them on CPython
            made = engine.Engine(model, kernel)
            made.configure(WriteErrors(records.SEED, 0, 1 << 29))
            for n in range(2):
                where = (kernel, record["words"], n)
                assert stored_maps(made, bytes((7 + n,)), n)[1] == record["bits"][n], where
                made.run(bytes((7 + n,)), n)
                assert list(made.scores) == record["scores"][n], where


def test_programmed_weights_match_the_vectors():
    for record in records.load("networks"):
        data = networks.build(record["name"])
        for kernel in kernels():
            for program in record["programs"]:
                errors = records.errors_of_program(program["rate"])
                check_program(kernel, record["name"], data, errors, program)


def test_weights_with_limits_for_each_layer_and_direction_match_the_vectors():
    for record in records.load("networks_1_1"):
        data = networks.build(record["name"])
        layers = len(Model(data).layers)
        for kernel in kernels():
            for n, program in enumerate(record["programs"]):
                errors = records.uneven_errors(n, layers)
                check_program(kernel, record["name"], data, errors, program)


def check_program(kernel, name, data, errors, program):
    model = Model(bytearray(data), check_crc=False)
    done = engine.Engine(model, kernel).program(errors)
    assert list(done) == program["bits"], (kernel, name)
    assert records.crc(model.data) == program["crc"], (kernel, name)


def test_writes_leave_the_cells_behind_the_map_alone():
    for kernel in kernels():
        made = engine.Engine(Model(networks.build("pooled")), kernel)
        made.configure(WriteErrors(1, 0, 1 << 32))
        half = made._halves[0]
        words = made.model.layers[2].map_words
        for i in range(len(half)):
            half[i] = 0xA5
        made._kernel.write(2, half, made._intended, made._state, made._errors[2], made.counts)
        assert bytes(half[4 * words :]) == b"\xa5" * (len(half) - 4 * words), kernel


def test_every_layer_is_told():
    beats = []
    model = Model(networks.build("thin"))
    made = engine.Engine(model, "auto", lambda: beats.append(1))
    made.configure(WriteErrors(1))
    made.run(networks.image("thin", 1), 0)
    assert len(beats) == len(model.layers) - 1
    made.program(WriteErrors(1))
    assert len(beats) == 2 * len(model.layers) - 1


def refused(function, *arguments):
    try:
        function(*arguments)
    except ConfigError as error:
        return str(error)
    raise AssertionError(arguments)


def test_bad_arguments_are_refused():
    made = engine.Engine(Model(networks.build("thin")), "python")
    uneven = [(n, 0) for n in range(len(made.model.layers) + 1)]
    for errors in (WriteErrors(limits=uneven), WriteErrors(weight_limits=uneven)):
        assert "this network has" in refused(made.configure, errors)
        assert "this network has" in refused(made.program, errors)
    assert "unknown" in refused(engine.Engine, made.model, "numpy")


def test_a_kernel_that_cannot_run_here_is_named():
    missing = [name for name in KERNELS if name not in kernels()]
    for name in missing:
        assert name in refused(load_kernel, name)


def test_auto_takes_the_best_that_loads():
    assert load_kernel("auto")[1] == kernels()[0]


def test_weights_that_are_read_only_are_not_written():
    made = engine.Engine(Model(bytes(networks.build("thin"))), "python")
    assert "read-only" in refused(made.program, WriteErrors(0, 0, 0, 1 << 31))


def test_a_misaligned_model_is_refused():
    data = networks.build("thin")
    shifted = memoryview(bytearray(1) + data)[1:]
    for kernel in kernels():
        if kernel != "python":
            assert "4-byte aligned" in refused(engine.Engine, Model(shifted), kernel)


def has_amx():
    try:
        with open("/proc/cpuinfo") as info:
            return "amx_int8" in info.read()
    except OSError:
        return False


def test_the_memory_of_the_kernels_in_c_is_known_beforehand():
    if "native" not in kernels():
        return
    import mtjkit_native
    from mtjkit_device.kernels import native

    for record in records.load("networks"):
        model = Model(networks.build(record["name"]))
        layers = [native.as_c(layer) for layer in model.layers]
        packed = sum((mtjkit_native.packed_bytes(g) + 63) & ~63 for g in layers)
        scratch = max(mtjkit_native.scratch_bytes(g) for g in layers)
        assert native.Kernel.memory_bytes(model) == packed + scratch
        if has_amx():
            continue
        foreseen = footprint.native_bytes(model, packed > 0)
        assert packed + scratch <= foreseen, record["name"]
        assert packed or packed + scratch == foreseen, record["name"]


def test_ram_is_known_beforehand():
    # The buffers alone, for the reference: 4 bytes a word of two halves, a map, scores, streams.
    model = Model(networks.build("pooled"))
    assert footprint.ram_bytes(model, "python") == 4 * (48 + 12 + 48 + 5 + 64)
    assert footprint.ram_bytes(model, "viper") > footprint.ram_bytes(model, "python")
