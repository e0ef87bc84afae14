"""What the vectors hold, computed from the reference; the records are JSON files beside this one.

`python tests/vectors/records.py` (with PYTHONPATH=firmware/micropython/lib) writes them again:
only for a new version of MEMORY.md, because they lock its bytes. `memory` and `networks` are of
version 1.0, whose writes have one limit and three counts; the two `_1_1` have two and five. The two
`_1_2` have classes of cells and disturb limits, `networks_1_3` has random bits before an image.
"""

import binascii
import json
import struct

import networks
from mtjkit_core import chip_memory
from mtjkit_core import mtj_memory as memory
from mtjkit_core import reference as xnor
from mtjkit_core import streams as random
from mtjkit_core import write_errors as we
from mtjkit_core.bits import tail_mask
from mtjkit_core.chip_errors import BUFFER_CLASSES, CLASSES, ERASED, RANDOM, ChipErrors
from mtjkit_core.model import Model
from mtjkit_core.prediction import predict

HERE = __file__.replace("\\", "/").rsplit("/", 1)[0] if "/" in __file__ else "."

SEED = 0xFEDCBA9876543210
FIVE_PERCENT = we.fail_limit(0.05)
# (fail limit, kind) of the runs: no errors, rare, common, half, all but one in 2**32, all.
RATES = [
    (0, we.FLIP),
    (1, we.KEEP),
    (43, we.FLIP),
    (FIVE_PERCENT, we.FLIP),
    (FIVE_PERCENT, we.KEEP),
    (1 << 31, we.FLIP),
    (1 << 31, we.KEEP),
    (0xFFFFFFFF, we.KEEP),
    (we.CERTAIN, we.FLIP),
    (we.CERTAIN, we.KEEP),
]
# (down, up) of the writes of version 1.1; the kinds take turns.
LIMITS = [
    (FIVE_PERCENT, FIVE_PERCENT),
    (0, FIVE_PERCENT),
    (FIVE_PERCENT, 0),
    (we.fail_limit(0.024), FIVE_PERCENT),
    (we.fail_limit(0.1), we.fail_limit(0.3)),
    (we.fail_limit(0.3), we.fail_limit(0.1)),
    (1 << 31, 1 << 30),
    (1, 0xFFFFFFFF),
    (0xFFFFFFFF, 1),
    (0, we.CERTAIN),
    (we.CERTAIN, 0),
    (FIVE_PERCENT, we.CERTAIN),
    (we.CERTAIN, FIVE_PERCENT),
]
# (seed, image, memory, layer)
PLACES = [
    (0, 0, random.BUFFER, 0),
    (SEED, 9999, random.BUFFER, 7),
    (1 << 63, (1 << 30) - 1, random.BUFFER, 63),
    (SEED, 0, random.WEIGHTS, 0),
]
UNEVEN_RUNS = 4
CHIP = 0x0123456789ABCDEF
CHIP_RUNS = 3
RANDOM_RUNS = 3
PREDICTION_NETS, PREDICTIONS = 13, 24
CHIP_NETWORKS = ("padded", "pooled", "thin", "to one")
# (words, run_words, run_bits) of a write
SHAPES = [(20, 2, 40), (9, 3, 96), (5, 1, 1), (1, 1, 32)]


def load(name):
    """The records of `name`.json."""
    with open(HERE + "/" + name + ".json") as file:
        return json.load(file)


def crc(data):
    return f"{binascii.crc32(bytes(data)) & 0xFFFFFFFF:08x}"


def hexed(data):
    return str(binascii.hexlify(bytes(data)), "ascii")


def random_record(place):
    """A place's streams, and the first three words that each draws."""
    state = [0] * 32
    random.seed_streams(state, *place)
    start = [f"{word:08x}" for word in state]
    drawn = [[f"{random.next_word(state, s):08x}" for _ in range(3)] for s in range(8)]
    seed, image, part, layer = place
    where = {"seed": f"{seed:016x}", "image": image, "memory": part, "layer": layer}
    where.update(state=start, drawn=drawn)
    return where


class Scaled:
    """What a prediction reads of a model: scales and offsets, as the file has them."""

    scales_at = 4

    def __init__(self, pairs, by_sign):
        self.data = bytes(4) + pairs
        self.classes = len(pairs) // 8
        self.by_sign = by_sign


def unhexed(text):
    return binascii.unhexlify(text)


def scores_of(record):
    """The scores of a record of `prediction_record`, a list for each image."""
    scores = struct.unpack(f"<{record['classes'] * PREDICTIONS}i", unhexed(record["scores"]))
    classes = record["classes"]
    return [scores[at : at + classes] for at in range(0, len(scores), classes)]


def prediction_record(number):
    """Classes that random scores are predicted as, with scales and offsets of very different sizes.

    Every third network has one score, whose sign decides. Half of the scores are small, so that
    values tie, the others go up to 2**30. From number 9 on two classes with equal scores have
    scales that differ in their last bit, so that the rounding decides.
    """
    state = [0] * 32
    random.seed_streams(state, SEED, number, random.WEIGHTS, 0)
    close = number >= 9
    classes = 2 if close else 1 if number % 3 == 2 else 2 + number
    pairs = b""
    for _ in range(2 * classes):
        word = random.next_word(state, 0)
        size = (127 + (word >> 26) % 24 - 12) << 23 | random.next_word(state, 1) & 0x7FFFFF
        if number % 4 == 3:
            size &= 0xFFF00000  # few digits, so that sums are exact and values tie
        pairs += struct.pack("<I", (word & 1) << 31 | (size if word & 6 else 0))
    if close:
        scale, offset = struct.unpack("<II", pairs[:8])
        pairs = struct.pack("<IIII", scale, offset, scale + 1, offset)
    scores = b""
    for image in range(PREDICTIONS):
        for _ in range(classes):
            bits = 4 if image & 1 else 31
            word = random.next_word(state, 2) >> (32 - bits)
            scores += struct.pack("<i", word - (1 << (bits - 1)))
        if close:
            scores = scores[:-4] + scores[-8:-4]
    record = {"classes": classes, "by_sign": classes == 1, "pairs": hexed(pairs)}
    record["scores"] = hexed(scores)
    return record


def predicted(record):
    """What the core predicts for a record's scores."""
    model = Scaled(unhexed(record["pairs"]), record["by_sign"])
    return [predict(model, scores) for scores in scores_of(record)]


def packed(words, shape):
    """A map's worth of random words, padding 0."""
    data = bytearray(4 * shape[0])
    words.put(data, 0, *shape)
    return data


def one_write(shape, limits, kind):
    """One write over old bits: what is stored, the counts, and the streams afterwards."""
    words = networks.Words(shape[0])
    old = packed(words, shape)
    new = packed(words, shape)
    cells = bytearray(old)
    state = [0] * 32
    counts = [0] * len(we.COUNTS)
    random.seed_streams(state, SEED, 3, random.BUFFER, 1)
    tail = tail_mask(shape[2])
    memory.write(cells, new, shape[0], shape[1], tail, state, limits, kind, counts)
    return {
        "old": hexed(old),
        "intended": hexed(new),
        "stored": hexed(cells),
        "counts": counts,
        "state": [f"{word:08x}" for word in state],
    }


def write_record(shape, rate):
    """A write with one limit."""
    limit, kind = rate
    written = one_write(shape, (limit, limit), kind)
    written["counts"] = written["counts"][:3]
    record = {"shape": list(shape), "rate": list(rate)}
    record.update(written)
    return record


def uneven_write_record(shape, n):
    """A write with the limits number n."""
    kind = n % 2
    record = {"shape": list(shape), "limits": list(LIMITS[n]), "kind": kind}
    record.update(one_write(shape, LIMITS[n], kind))
    return record


def errors_of_run(n, _layers=None):
    """The error process of a network's run number n of version 1.0."""
    limit, kind = RATES[n]
    return we.WriteErrors(SEED + n, kind, limit)


def uneven_errors(n, layers):
    """The error process of a network's run number n of version 1.1: limits for each layer."""
    limits = [LIMITS[(n + 5 * layer) % len(LIMITS)] for layer in range(layers)]
    return we.WriteErrors(SEED + n, n % 2, limits[:-1], limits[::-1])


def chip_errors(n, layers, before=ERASED):
    """The error process of a network's run number n of version 1.2.

    Classes and disturb, disturb alone, classes alone.
    """

    def limits(k):
        return [LIMITS[(n + k + 5 * layer) % len(LIMITS)] for layer in range(layers)]

    rest = dict(disturb=limits(1)[1:], weight_disturb=limits(2)) if n % 3 < 2 else {}
    rest["before"] = before
    if n % 3 == 1:
        return ChipErrors(SEED + n, n % 2, limits(3)[1:], limits(4), **rest)
    rest["chip"] = CHIP + n
    rest["classes"] = [limits(5 + k)[1:] for k in range(CLASSES)]
    rest["weight_classes"] = [limits(9 + k) for k in range(CLASSES)]
    return ChipErrors(SEED + n, n % 2, **rest)


def random_errors(n, layers):
    """The error process of a network's run number n of version 1.3: no cell is erased.

    One limit, limits for each layer and direction, classes and disturb.
    """
    if n == 2:
        return chip_errors(3, layers, RANDOM)
    limits = uneven_errors(1, layers).limits if n else FIVE_PERCENT
    return ChipErrors(SEED + n, we.KEEP, limits, before=RANDOM)


def chip_write_record(shape, n):
    """A write to cells of four classes, whose limits begin with number n; then a disturbance."""
    words = networks.Words(shape[0])
    old = packed(words, shape)
    new = packed(words, shape)
    cells = bytearray(old)
    state = [0] * 32
    classes = [0] * 32
    counts = [0] * len(we.COUNTS)
    random.seed_streams(state, SEED, 3, random.BUFFER, 1)
    random.seed_streams(classes, CHIP, 0, BUFFER_CLASSES, 1)
    limits = [LIMITS[(n + k) % len(LIMITS)] for k in range(CLASSES)]
    lanes = shape[0], shape[1], tail_mask(shape[2])
    chip_memory.write_classes(cells, new, *lanes, state, classes, limits, n % 2, counts)
    stored = hexed(cells)
    chip_memory.disturb(cells, *lanes, state, LIMITS[n])
    return {
        "shape": list(shape),
        "first": n,
        "stored": stored,
        "disturbed": hexed(cells),
        "counts": counts,
        "state": [f"{word:08x}" for word in state],
    }


def one_run(model, name, n, errors):
    """One image: scores, counts and the checksum of every stored map."""
    counts = [0] * len(we.COUNTS)
    maps = []
    image = networks.image(name, n % 3)
    scores = xnor.run_image(model, image, 77777 * n, errors, counts, maps)
    return {
        "scores": list(scores),
        "counts": counts,
        "maps": [crc(stored) for stored in maps],
    }


def run_record(model, name, n):
    """A run with one limit."""
    record = {"rate": list(RATES[n])}
    record.update(one_run(model, name, n, errors_of_run(n)))
    record["counts"] = record["counts"][:3]
    return record


def one_program(name, errors):
    """Weights written once, in place: [written, wrong] and the model's checksum afterwards."""
    from mtjkit_device.engine import Engine

    model = Model(networks.build(name))
    done = Engine(model, "python").program(errors)
    return {"bits": list(done), "crc": crc(model.data)}


def errors_of_program(rate):
    """The error process of weights with one limit."""
    limit, kind = rate
    return we.WriteErrors(SEED, kind, 0, limit)


def program_record(name, rate):
    """Weights written with one limit."""
    record = {"rate": list(rate)}
    record.update(one_program(name, errors_of_program(rate)))
    return record


def file_crc(data):
    """The checksum of a model file without its own at the end: with it, all files have the same."""
    return crc(data[:-4])


def network_record(name):
    data = networks.build(name)
    model = Model(data)
    return {
        "name": name,
        "crc": file_crc(data),
        "runs": [run_record(model, name, n) for n in range(len(RATES))],
        "programs": [program_record(name, rate) for rate in RATES[2:5]],
    }


def geometry_record(name):
    data = networks.build(name)
    model = Model(data)
    runs = [run_record(model, name, n) for n in range(5)]
    programs = [program_record(name, rate) for rate in RATES[3:4]]
    return {"name": name, "crc": file_crc(data), "runs": runs, "programs": programs}


def uneven_network_record(name):
    """Runs and weights with limits for each layer and direction."""
    model = Model(networks.build(name))
    layers = len(model.layers)
    return {
        "name": name,
        "runs": [one_run(model, name, n, uneven_errors(n, layers)) for n in range(UNEVEN_RUNS)],
        "programs": [one_program(name, uneven_errors(n, layers)) for n in range(2)],
    }


def chip_network_record(name):
    """Runs and weights of chips."""
    model = Model(networks.build(name))
    layers = len(model.layers)
    return {
        "name": name,
        "runs": [one_run(model, name, n, chip_errors(n, layers)) for n in range(CHIP_RUNS)],
        "programs": [one_program(name, chip_errors(n, layers)) for n in range(CHIP_RUNS)],
    }


def random_network_record(name):
    """Runs over cells that hold random bits before an image."""
    model = Model(networks.build(name))
    layers = len(model.layers)
    runs = [one_run(model, name, n, random_errors(n, layers)) for n in range(RANDOM_RUNS)]
    return {"name": name, "runs": runs}


def rows_record(words):
    """Two images through rows of `words` words: checksum of the hidden bits, and scores."""
    model = Model(networks.with_rows(words))
    errors = we.WriteErrors(SEED, we.FLIP, 1 << 29)
    bits, scores = [], []
    for n in range(2):
        maps = []
        image = bytes((7 + n,))
        scores.append(list(xnor.run_image(model, image, n, errors, [0] * 5, maps)))
        bits.append(crc(maps[1]))
    return {"words": words, "bits": bits, "scores": scores}


def save(name, records):
    with open(HERE + "/" + name + ".json", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n")


if __name__ == "__main__":
    save("random", [random_record(place) for place in PLACES])
    predictions = [prediction_record(number) for number in range(PREDICTION_NETS)]
    for record in predictions:
        record["predicted"] = predicted(record)
    save("predictions", predictions)
    save("memory", [write_record(shape, rate) for shape in SHAPES for rate in RATES])
    save("memory_1_1", [uneven_write_record(s, n) for s in SHAPES for n in range(len(LIMITS))])
    save("memory_1_2", [chip_write_record(s, n) for s in SHAPES for n in (1, 4, 7, 11)])
    save("networks_1_2", [chip_network_record(name) for name in CHIP_NETWORKS])
    save("networks_1_3", [random_network_record(name) for name in CHIP_NETWORKS])
    save("rows", [rows_record(words) for words in range(1, 41)])
    save("geometries", [geometry_record(name) for name in sorted(networks.GEOMETRIES)])
    save("kinds", [geometry_record(name) for name in sorted(networks.KINDS)])
    save("networks", [network_record(name) for name in sorted(networks.NETWORKS)])
    save("networks_1_1", [uneven_network_record(name) for name in sorted(networks.NETWORKS)])
