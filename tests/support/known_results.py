"""Results of a campaign whose numbers are known."""

from mtjkit_host.campaign import Campaign, NetEntry
from mtjkit_host.campaign.points import Point
from mtjkit_host.campaign.records import Bits, Record
from mtjkit_host.campaign.runner import CampaignResult

RATES = (1e-3, 1e-2, 1e-1, 0.5)
EVIL = "<script>alert('&')</script>"


def made_up(folder, repeats=2, tolerances=(0.2, 0.1)):
    """A campaign of two nets whose degradation at rate r is known: r / tolerance, up to 0.9."""
    nets = (
        NetEntry("Binary", ("a",), "Binary", note=EVIL),
        NetEntry("Fxp8 & co", ("b",), "Fxp8"),
        NetEntry("Gone", ("c",), "Fxp32"),
    )
    campaign = Campaign("made-up", nets, RATES, repeats=repeats, images=100, title=EVIL)
    records = []
    for label, tolerance, bits in zip(("Binary", "Fxp8 & co"), tolerances, (1, 8), strict=True):

        def record(kind, memory, rate, repeat, written=1000, net=label, **found):
            point = Point(kind, net, "0" * 64, "1" * 64, 100, memory, "flip", rate, repeat, 0)
            bits_of_memory = Bits(written, wrong=round(written * rate))
            return Record(point, round(rate * 2**32), bits_of_memory, 0.1, **found)

        records.append(record("accuracy", "none", 0.0, 0, correct=80, accuracy=0.8))
        for memory, weaker in (("weights", 0.5), ("feature_maps", 1.0)):
            for rate in RATES:
                for repeat in range(repeats):
                    lost = min(rate / (tolerance * weaker), 0.9) + 0.001 * (repeat - 0.5)
                    records.append(
                        record("accuracy", memory, rate, repeat, accuracy=0.8 * (1 - lost))
                    )
                    size = (bits * rate) ** (0.2 if bits == 1 else 0.5)
                    layers = (0.0, size / 2, None if rate == 0.5 else size / 2)
                    records.append(
                        record("rrmse", memory, rate, repeat, rrmse=size, rrmse_by_layer=layers)
                    )
    net = {
        "file": "a.mtjb",
        "sha256": "0" * 64,
        "bits": 1,
        "weight_bits": 14_022_016,
        "map_bits": 9,
        "arithmetic": "exact",
    }
    loaded = {"Binary": net, "Fxp8 & co": {**net, "bits": 8}}
    return CampaignResult(
        campaign,
        folder,
        tuple(records),
        len(records) + 1,
        loaded,
        {"Gone": f"no c in {EVIL}"},
        {"python": EVIL},
    )
