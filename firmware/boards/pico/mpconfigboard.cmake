# Raspberry Pi Pico, as MicroPython's RPI_PICO, with a read-only file system for a mapped model.
set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
