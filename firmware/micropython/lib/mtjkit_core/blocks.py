"""Blocks: an image, or a piece of a model, as plain bytes behind one frame. PROTOCOL.md, blocks.

Only computers take them, over a line that loses nothing. A board does not load this module.
"""

from mtjkit_core.messages import Message

TAKES_BLOCKS = 8  # flag of INFO

IMAGE_BLOCK = Message(0x0B, "IMAGE_BLOCK", "IBI", "index slot crc")
MODEL_BLOCK = Message(0x0C, "MODEL_BLOCK", "II", "offset size")
