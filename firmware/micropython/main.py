"""What a board runs when it starts: the server on its serial line, until the host says STOP."""

import gc

# Collecting early keeps what stays together, so that a small heap has room for whole maps. In a
# computer's heap it would take longer than the images.
gc.threshold(8192 if gc.mem_free() < 1 << 24 else 1 << 20)

from mtjkit_device.serial_line import Line  # noqa: E402

with Line() as line:  # first of all: a host that did not notice a reset still sends
    from mtjkit_device.server import Server

    Server(line).serve()
