"""What the vectors hold, computed from the reference; the records are JSON files beside this one.

`python tests/vectors/records.py` (with PYTHONPATH=firmware/micropython/lib) writes them again:
only for a new version of MEMORY.md, because they lock its bytes.
"""

import binascii
import json

import networks
from mtjkit_core import mtj_memory as memory
from mtjkit_core import reference as xnor
from mtjkit_core import streams as random
from mtjkit_core.bits import tail_mask
from mtjkit_core.model import Model

HERE = __file__.replace("\\", "/").rsplit("/", 1)[0] if "/" in __file__ else "."

SEED = 0xFEDCBA9876543210
FIVE_PERCENT = memory.threshold_from_rate(0.05)
# (threshold, errors) of the runs: no errors, rare, common, half, all but one in 2**32, all.
RATES = [
    (0, memory.FLIP),
    (1, memory.KEEP),
    (43, memory.FLIP),
    (FIVE_PERCENT, memory.FLIP),
    (FIVE_PERCENT, memory.KEEP),
    (1 << 31, memory.FLIP),
    (1 << 31, memory.KEEP),
    (0xFFFFFFFF, memory.KEEP),
    (memory.CERTAIN, memory.FLIP),
    (memory.CERTAIN, memory.KEEP),
]
# (seed, image, memory, layer)
PLACES = [
    (0, 0, random.BUFFER, 0),
    (SEED, 9999, random.BUFFER, 7),
    (1 << 63, (1 << 30) - 1, random.BUFFER, 63),
    (SEED, 0, random.WEIGHTS, 0),
]
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


def packed(words, shape):
    """A map's worth of random words, padding 0."""
    data = bytearray(4 * shape[0])
    words.put(data, 0, *shape)
    return data


def write_record(shape, rate):
    """One write over old bits: what is stored, the counts, and the streams afterwards."""
    words = networks.Words(shape[0])
    old = packed(words, shape)
    new = packed(words, shape)
    cells = bytearray(old)
    state = [0] * 32
    counts = [0, 0, 0]
    random.seed_streams(state, SEED, 3, random.BUFFER, 1)
    tail = tail_mask(shape[2])
    memory.write(cells, new, shape[0], shape[1], tail, state, rate[0], rate[1], counts)
    return {
        "shape": list(shape),
        "rate": list(rate),
        "old": hexed(old),
        "intended": hexed(new),
        "stored": hexed(cells),
        "counts": counts,
        "state": [f"{word:08x}" for word in state],
    }


def run_record(model, name, n, rate):
    """One image: scores, counts and the checksum of every stored map."""
    counts = [0, 0, 0]
    maps = []
    image = networks.image(name, n % 3)
    scores = xnor.run_image(model, image, SEED + n, 77777 * n, rate[0], rate[1], counts, maps)
    return {
        "rate": list(rate),
        "scores": list(scores),
        "counts": counts,
        "maps": [crc(stored) for stored in maps],
    }


def program_record(name, rate):
    """Weights written once, in place: [written, wrong] and the model's checksum afterwards."""
    from mtjkit_device.engine import Engine

    model = Model(networks.build(name))
    done = Engine(model, "python").program(SEED, *rate)
    return {"rate": list(rate), "bits": list(done), "crc": crc(model.data)}


def network_record(name):
    data = networks.build(name)
    model = Model(data)
    return {
        "name": name,
        "crc": crc(data),
        "runs": [run_record(model, name, n, rate) for n, rate in enumerate(RATES)],
        "programs": [program_record(name, rate) for rate in RATES[2:5]],
    }


def geometry_record(name):
    data = networks.build(name)
    model = Model(data)
    runs = [run_record(model, name, n, rate) for n, rate in enumerate(RATES[:5])]
    programs = [program_record(name, rate) for rate in RATES[3:4]]
    return {"name": name, "crc": crc(data), "runs": runs, "programs": programs}


def rows_record(words):
    """Two images through rows of so many words: checksum of the hidden bits, and scores."""
    model = Model(networks.with_rows(words))
    bits, scores = [], []
    for n in range(2):
        maps = []
        image = bytes((7 + n,))
        scores.append(list(xnor.run_image(model, image, SEED, n, 1 << 29, 0, [0, 0, 0], maps)))
        bits.append(crc(maps[1]))
    return {"words": words, "bits": bits, "scores": scores}


def save(name, records):
    with open(HERE + "/" + name + ".json", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n")


if __name__ == "__main__":
    save("random", [random_record(place) for place in PLACES])
    save("memory", [write_record(shape, rate) for shape in SHAPES for rate in RATES])
    save("rows", [rows_record(words) for words in range(1, 41)])
    save("geometries", [geometry_record(name) for name in sorted(networks.GEOMETRIES)])
    save("networks", [network_record(name) for name in sorted(networks.NETWORKS)])
