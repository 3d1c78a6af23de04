"""Profiles: what is known of a GPU, or of ``cpu``, as data. A new GPU is one TOML file in this folder."""

from __future__ import annotations

from v2v_export.profiles._load import load_profile, profile_names
from v2v_export.profiles.model import Choice, Figure, Profile

__all__ = ["Choice", "Figure", "Profile", "load_profile", "profile_names"]
