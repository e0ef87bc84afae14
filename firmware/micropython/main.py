"""What a board runs when it starts: the server on its serial line, until the host says STOP."""

import gc

# Collecting early keeps what stays together, so that a small heap has room for whole maps.
gc.threshold(8192)

from mtjkit_device.serial_line import Line  # noqa: E402

with Line() as line:  # first of all: a host that did not notice a reset still sends
    from mtjkit_device.server import Server

    Server(line).serve()
