"""What a board runs when it starts: the server on its serial line, until the host says STOP."""

from mtjkit_device.board import Line
from mtjkit_device.server import Server

with Line() as line:
    Server(line).serve()
