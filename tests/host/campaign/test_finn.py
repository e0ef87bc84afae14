"""FINN's CNV under bit flips: the accuracies that a separate float simulation gave."""

import finn_cnv
from mtjkit_export import save
from mtjkit_host.analysis import summarize
from mtjkit_host.campaign import Campaign, NetEntry, run_campaign

# One run each on the first 2,000 test images, percent; beside it the standard deviation of one
# run's accuracy, measured with ten seeds here.
SEPARATE = {
    "feature_maps": {
        0.01: (79.3, 1.1),
        0.024: (75.3, 0.9),
        0.05: (64.9, 1.0),
        0.086: (44.2, 1.4),
        0.15: (16.7, 1.0),
    },
    "weights": {
        0.01: (77.3, 0.7),
        0.024: (75.2, 1.3),
        0.05: (61.5, 2.1),
        0.086: (34.3, 3.3),
        0.15: (14.6, 1.0),
    },
}
REPEATS = 2


def test_finn_cnv_loses_what_a_separate_simulation_found(long_data, tmp_path):
    data = long_data("cifar-10-batches-bin")
    save(finn_cnv.network(long_data("cnv_w1a1_cifar10.npz")), tmp_path / "cnv.mtjb")
    rates = tuple(SEPARATE["weights"])
    net = NetEntry("CNV", (str(tmp_path / "cnv.mtjb"),))
    campaign = Campaign("finn", (net,), rates, repeats=REPEATS, images=2000)
    summary = summarize(run_campaign(campaign, data=data, folder=tmp_path / "out"))
    assert summary.error_free["CNV"] == 0.803
    for curve in summary.accuracy:
        for level in curve.levels:
            expected, sigma = SEPARATE[curve.memory][level.rate]
            # Their single run and our mean: sigma * sqrt(1 + 1 / repeats); 4 sigma.
            off = 100 * level.value.value - expected
            assert abs(off) <= 4 * sigma * (1 + 1 / REPEATS) ** 0.5, (curve.memory, level.rate)
            # 2,000 images of 95,360 bits, or 1.54 million weights: 5 sigma.
            bits = REPEATS * (2000 * 95360 if curve.memory == "feature_maps" else 1_542_848)
            spread = (level.rate * (1 - level.rate) / bits) ** 0.5
            assert abs(level.achieved - level.rate) <= 5 * spread
