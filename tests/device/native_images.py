"""Classifies images with the kernel native and prints each one's scores; see test_native.py.

On MicroPython: micropython native_images.py LIB MODEL INPUTS, INPUTS a file of int8 images.
Nothing is allocated for an image but the line that is printed.
"""

import sys

import micropython

sys.path.append(sys.argv[1])
from mtjkit_core.model import Model
from mtjkit_device.engine import Engine

with open(sys.argv[2], "rb") as file:
    engine = Engine(Model(bytearray(file.read())), "native")
height, width, channels = engine.model.input_shape
image = bytearray(height * width * channels)
with open(sys.argv[3], "rb") as file:
    index = 0
    while file.readinto(image) == len(image):
        micropython.heap_lock()
        engine.run(image, index)
        micropython.heap_unlock()
        print(*engine.scores)
        index += 1
