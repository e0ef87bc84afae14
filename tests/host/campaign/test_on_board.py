"""A board in the place of a simulator gives what the simulator gives."""

import networks
import numpy as np
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_host.boards.unix_port import UnixPort
from mtjkit_host.campaign.on_board import BoardSimulator
from mtjkit_host.simulate.simulator import open_simulator


def test_images_keep_their_own_indices(micropython):
    model = Model(networks.build("pooled"))
    images = np.random.default_rng(6).integers(-128, 128, (4, *model.input_shape), np.int8)
    indices = np.array([7, 40, 3, 11], np.uint32)  # 7, 3 and 11 are equal modulo 4
    errors = WriteErrors(5, limits=(1 << 30, 1 << 29))
    simulator, board = open_simulator(model), BoardSimulator(UnixPort(micropython), model)
    assert not (simulator.run(images, indices, errors)[0] == simulator.run(images)[0]).all()
    for found, expected in zip(
        board.run(images, indices, errors), simulator.run(images, indices, errors), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
