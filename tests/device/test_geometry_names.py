"""C and viper name a layer's numbers as mtjkit_core.geometry does."""

import re

from mtjkit_core.geometry import FIELDS
from support.paths import LIB, ROOT


def test_the_struct_in_c_has_the_fields_in_their_order():
    text = (ROOT / "firmware/native/mtjkit.h").read_text()
    part = re.search(r"/\* FIELDS begin \*/(.*?)/\* FIELDS end \*/", text, re.S)[1]
    part = re.sub(r"/\*.*?\*/", "", part, flags=re.S)
    assert tuple(re.findall(r"\b(?!int32_t)\w+", part)) == FIELDS


def test_vipers_constants_are_places_in_the_fields():
    named = []
    for path in (LIB / "mtjkit_device").rglob("*.py"):
        text = path.read_text()
        for name, place in re.findall(r"^_G_(\w+) = const\((\d+)\)$", text, re.M):
            assert FIELDS[int(place)] == name.lower(), path
            named.append(name)
        assert not re.search(r"\b(g|geometry)\[\d", text), path  # no number without a name
    assert len(named) > 10
