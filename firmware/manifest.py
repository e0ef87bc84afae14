"""Freeze mtjkit into a firmware: FROZEN_MANIFEST=<this file>, or include it in your own manifest.

Frozen code takes flash and no RAM. Nothing starts by itself: copy main.py to the board, or import
mtjkit_device from your own program. Kernels in assembler are for Arm: `thumb=False` leaves them
out, `v7m=False` what a Cortex-M0 has not, and the device takes the next best.
"""
# ruff: noqa: F821 (MicroPython gives a manifest its functions)

options.defaults(thumb=True, v7m=True)

package("mtjkit_core", base_path="micropython/lib")
package(
    "mtjkit_device",
    files=[
        "__init__.py",
        "board.py",
        "engine.py",
        "frames_viper.py",
        "kernel_native.py",
        "kernel_python.py",
        "kernel_viper.py",
        "server.py",
        "session.py",
        "transfers.py",
        "viper_kernel.py",
        "viper_layers.py",
        "viper_memory.py",
        "viper_pairs.py",
        "viper_rows32.py",
        "viper_rows64.py",
    ],
    base_path="micropython/lib",
)
if options.thumb:
    package(
        "mtjkit_device",
        files=["kernel_asm_thumb.py", "thumb_memory.py", "thumb_pairs.py", "thumb_rows.py"],
        base_path="micropython/lib",
    )
    if options.v7m:
        package("mtjkit_device", files=["thumb_rows_v7m.py"], base_path="micropython/lib")
