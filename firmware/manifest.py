"""Freeze mtjkit into a firmware: FROZEN_MANIFEST=<this file>, or include it in your own manifest.

Frozen code takes flash and no RAM. Nothing starts by itself: copy main.py to the board, or import
mtjkit_device from your own program. Kernels in assembler are for Arm: `thumb=False` leaves them
out, `v7m=False` what a Cortex-M0 lacks, and the device takes the next best. For RISC-V give
`thumb=False, rv32=True`, and `zbb=True` too if the processor has Zbb: it crashes another one.
"""
# ruff: noqa: F821 (MicroPython gives a manifest its functions)

import glob  # paths are relative to this file while MicroPython reads it

options.defaults(thumb=True, v7m=True, rv32=False, zbb=False)

package("mtjkit_core", base_path="micropython/lib")
folder = "micropython/lib/mtjkit_device/"
modules = sorted(path[len(folder) :] for path in glob.glob(folder + "**/*.py", recursive=True))
if not options.thumb:
    modules = [path for path in modules if "thumb" not in path]
if not options.v7m:
    modules = [path for path in modules if "v7m" not in path]
if not options.rv32:
    modules = [path for path in modules if "rv32" not in path]
if not options.zbb:
    modules = [path for path in modules if "zbb" not in path]
package("mtjkit_device", files=modules, base_path="micropython/lib")
