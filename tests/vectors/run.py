"""Runs test modules on MicroPython: micropython tests/vectors/run.py ROOT FILE...

Every function test_* without arguments is called; the first failure ends it with a traceback.
"""

import sys

root = sys.argv[1]
sys.path.append(root + "/firmware/micropython/lib")
sys.path.append(root + "/tests/vectors")
for path in sys.argv[2:]:
    folder, name = (root + "/" + path).rsplit("/", 1)
    sys.path.append(folder)
    module = __import__(name[:-3])
    for test in sorted(dir(module)):
        if test.startswith("test_"):
            getattr(module, test)()
            print(path, test)
