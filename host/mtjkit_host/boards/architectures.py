"""Processor architectures as MicroPython names them, and the C compiler of each."""

from __future__ import annotations

ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa",
    "xtensawin", "rv32imc",
)  # fmt: skip
"""In the order of the numbers in sys.implementation._mpy; "" for bytecode only."""

THUMB = ("armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp")
"""Of the Cortex-M family: one loads the code of those before it too."""

COMPILERS = {
    "x64": "gcc",
    "armv6m": "arm-none-eabi-gcc",
    "armv7m": "arm-none-eabi-gcc",
    "armv7emsp": "arm-none-eabi-gcc",
    "armv7emsp-mve": "arm-none-eabi-gcc",
    "xtensawin": "xtensa-esp32-elf-gcc",
    "rv32imc": "riscv64-unknown-elf-gcc",
    "rv32imc-zbb": "riscv64-unknown-elf-gcc",
}
"""What native modules are built for, and the compiler of each: an architecture, or one and after a
hyphen an extension, without whose instructions the module crashes its processor."""

EXTENSION_OPTIONS = {
    "zbb": ["-march=rv32imac_zbb", "-mabi=ilp32"],
    "mve": ["-mcpu=cortex-m55"],
}
"""Options with which a compiler shows that it knows an extension."""

COMPILER_SOURCES = {
    "gcc": "Debian: apt install gcc make",
    "arm-none-eabi-gcc": "Debian: apt install gcc-arm-none-eabi libnewlib-arm-none-eabi make",
    "xtensa-esp32-elf-gcc": "Espressif's ESP-IDF has it",
    "riscv64-unknown-elf-gcc": "Debian: apt install gcc-riscv64-unknown-elf "
    "picolibc-riscv64-unknown-elf make",
}
"""Where a compiler comes from."""

COMPILER_OPTIONS = {"riscv64-unknown-elf-gcc": ["--specs=picolibc.specs"]}
"""Options with which a compiler finds the C library's headers, if it takes any."""


def loadable(architecture: str) -> list[str]:
    """The architectures whose native code a board loads, the best first."""
    if architecture not in THUMB:
        return [architecture]
    return list(reversed(THUMB[: THUMB.index(architecture) + 1]))
