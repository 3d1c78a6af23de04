"""Finding profiles: by name in this package, or by path."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import resources
from pathlib import Path

from v2v_export.errors import RecipeError
from v2v_export.profiles._parse import parse_profile
from v2v_export.profiles.model import Profile

_SUFFIX = ".toml"


@cache
def profile_names() -> tuple[str, ...]:
    """The names of the profiles that ship with the package: ``cpu`` first, then by name."""
    found = (
        item.name.removesuffix(_SUFFIX)
        for item in resources.files(__package__).iterdir()
        if item.name.endswith(_SUFFIX)
    )
    return tuple(sorted(found, key=lambda name: (name != "cpu", name)))


def load_profile(name: str) -> Profile:
    """The profile of that name, or of that file.

    Args:
        name: a name of ``profile_names()``, in any case and with or without spaces, dashes and underscores
            (``RTX 4090`` is ``rtx4090``); or the path of a TOML file of one's own, which must end in
            ``.toml``.

    Raises:
        RecipeError: V2V-E5101 no such profile, with the nearest names; V2V-E5102 the file cannot be read;
            V2V-E5103 to V2V-E5107 it does not say a valid profile.
    """
    if name.endswith(_SUFFIX):
        return _from_file(Path(name))
    wanted = "".join(letter for letter in name.lower() if letter not in " -_")
    if wanted in profile_names():
        return _shipped(wanted)
    near = difflib.get_close_matches(wanted, profile_names(), n=3, cutoff=0.5)
    raise RecipeError(
        "V2V-E5101",
        f'no profile is named "{name}"',
        f"one of {', '.join(profile_names())}, or the path of a {_SUFFIX} file",
        f"did you mean {' or '.join(near)}?"
        if near
        else "`v2v-export profiles` lists them with their figures",
    )


@cache
def _shipped(name: str) -> Profile:
    text = resources.files(__package__).joinpath(name + _SUFFIX).read_text("utf-8")
    return parse_profile(text, name, f"profile {name}")


def _from_file(path: Path) -> Profile:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            "V2V-E5102",
            f"cannot read the profile {path}: {error}",
            "a UTF-8 TOML file",
            "correct the path; the shipped profiles show the form",
        ) from None
    return parse_profile(text, path.name.removesuffix(_SUFFIX), str(path))
