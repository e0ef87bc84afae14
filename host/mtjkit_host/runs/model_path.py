"""Which model file is meant: a path, or the name of a model that mtjkit carries."""

from __future__ import annotations

from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host import parse
from mtjkit_host.paths import CARRIED, IS_CHECKOUT, OTHER_NAMES


def model_path(value: str | float | Path) -> Path:
    """Return the file that is meant by a path, or by the name of a model that mtjkit carries.

    Raises:
        ConfigError: the text is not a path; it names a fixed-point net, which runs do not take; or
            it is a bare name, and neither a file nor a carried model has it.
    """
    path = parse.path("--model", value)
    inside = path.suffix == ".mtjb" and path.parent.resolve() == CARRIED  # an older run file's
    if path.suffix != ".safetensors" and (
        (path.exists() and not path.is_dir())
        or (str(value).rstrip("/") != path.name and not inside)
    ):
        return path
    name = path.stem if inside else path.name
    carried = CARRIED / f"{OTHER_NAMES.get(name, name)}.mtjb"
    if carried.is_file():
        return carried
    if path.suffix == ".safetensors" or carried.with_suffix(".safetensors").is_file():
        raise ConfigError(
            f"--model {value} is a fixed-point net, which boards and the twin do not compute; "
            "`campaign` measures it, `export --format tflite` writes an int8 file"
        )
    if path.suffix:
        return path
    names = ", ".join(sorted(file.stem for file in CARRIED.glob("*.mtjb")))
    more = "" if IS_CHECKOUT else "; the wheel mtjkit-nets brings the larger ones"
    raise ConfigError(f"--model {value}: no such file, and the carried models are {names}{more}")
