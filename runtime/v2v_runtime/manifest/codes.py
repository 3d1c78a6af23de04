"""Every error code of the manifest, one line each.

The corpus under ``tests/conformance/manifests`` holds at least one file per code, so that each reader, in any
language, gives the same code for the same mistake. A file of the corpus holds one mistake; a manifest with
several raises the one that its reader meets first.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """A code and, in ``text``, the mistake it names."""

    text: str

    def __new__(cls, value: str, text: str) -> Code:
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    # The file as JSON.
    ENCODING = "V2V-E2001", "not UTF-8, or begins with a byte order mark"
    SYNTAX = "V2V-E2002", "not JSON"
    DUPLICATE_KEY = "V2V-E2003", "an object holds the same key twice"
    NOT_FINITE = "V2V-E2004", "NaN, Infinity, or a number too large for a double"
    TOO_LARGE = "V2V-E2005", "the file is larger than 16 MiB"
    TOO_DEEP = "V2V-E2006", "arrays and objects nest deeper than 64"
    INTEGER_SIZE = "V2V-E2007", "an integer does not fit 64 bits"
    SURROGATE = "V2V-E2008", "a string holds half of a surrogate pair"
    TOO_MANY = "V2V-E2009", "more than 65536 values: commas, opening brackets and braces outside of strings"

    # Values against the types of ``model``.
    FUTURE_SCHEMA = "V2V-E2010", "a schema newer than this reader"
    UNKNOWN_SCHEMA = "V2V-E2011", "not a schema of this file"
    UNKNOWN_KEY = "V2V-E2012", "a key that does not exist here"
    MISSING_KEY = "V2V-E2013", "a key that must be here"
    WRONG_TYPE = "V2V-E2014", "a value of another JSON type (1.0 and true are no integers)"
    NOT_A_CHOICE = "V2V-E2015", "a word that is not among the choices"
    NAME = "V2V-E2020", "not a well-formed name"
    PATH = "V2V-E2021", "a path that is not relative, plain and inside its folder"
    SHAPE = "V2V-E2022", "a shape with no dimension, too many, or one below 1"
    TENSOR_SIZE = "V2V-E2023", "a tensor of more than 2^40 bytes"
    RANGE = "V2V-E2024", "an integer outside its range"
    HASH = "V2V-E2025", "not 64 lower-case hexadecimal digits"
    TEXT = "V2V-E2026", "text that is empty, too long, or holds control characters"
    COUNT = "V2V-E2027", "a list or map with too few or too many entries"

    # Files, identity, variants, self-test.
    IDENTITY = "V2V-E2030", "the identity is not the hash of what the manifest says"
    FILE_LIST = "V2V-E2031", "files not sorted, listed twice, or colliding"
    FILE_NOT_LISTED = "V2V-E2032", "a path that is not among the files"
    VARIANT_GRAPHS = "V2V-E2033", "a variant whose graphs are not exactly the manifest's"
    OVERRIDE = "V2V-E2034", "an override of a call that does not exist, or of rows that it does not have"
    TOLERANCE = "V2V-E2035", "a self-test without a tolerance for a variant's float, or for an unknown type"

    # Names.
    NAME_TAKEN = "V2V-E2040", "two things of one name"
    SHADOWS_BUILTIN = "V2V-E2041", "a name that the machine gives"
    ONE_STREAM = "V2V-E2042", "version 1 has exactly one input and one output"
    DANGLING = "V2V-E2043", "declared and never used"
    UNKNOWN_NAME = "V2V-E2044", "a name that nothing has"
    UNKNOWN_PORT = "V2V-E2045", "a port that the graph does not have"
    UNBOUND_PORT = "V2V-E2046", "a port of the graph that the call does not bind"
    NOT_WRITABLE = "V2V-E2047", "an output bound to what a call cannot write"

    # Types of what is bound.
    DTYPE = "V2V-E2050", "the element types of the two sides differ"
    DIMENSIONS = "V2V-E2051", "the shapes of the two sides differ"
    VIEW = "V2V-E2052", "a view outside of its tensor"
    LIMITS = "V2V-E2053", "limits of a param that are empty, outside of its type, or of a bool"

    # Order and schedules.
    SCHEDULE = "V2V-E2060", "an ``at`` that is not sorted, unique and below ``every``"
    PERIOD = "V2V-E2061", "the common period of a phase's schedules is above 4096 steps"
    NEVER_RUNS = "V2V-E2062", "a call that runs in no step of its phase"
    NOT_MADE = "V2V-E2063", "a name that no earlier call makes in some step that needs it"
    MADE_TWICE = "V2V-E2064", "a temporary that two calls make in the same step"
    WRITTEN_TWICE = "V2V-E2065", "a slot that is written twice in the same step"
    PHASE_ORDER = "V2V-E2066", "``forever`` is for the last phase, and only there"
    LATE_ORDER = "V2V-E2067", "a call that is not late after one that is"
    LATE_READ = "V2V-E2068", "a late temporary read by what is not late"

    # Features.
    RING = "V2V-E2070", "a ring whose length is not its axis 0, or that is written through a view"
    CHANGED = "V2V-E2071", "``when: changed`` on a call that reads or writes more than params may decide"
    DERIVED = "V2V-E2072", "a derived slot written by another kind of call, or read where it can be stale"
    ROWS = "V2V-E2073", "``rows`` with a bad count tensor, bad buckets or bad ports"
    CHECK = "V2V-E2074", "a check port that is no bool [1] output of its own"
    IN_PLACE = "V2V-E2075", "``in_place`` on a port that cannot be written so"
    SKIP = "V2V-E2076", "``skip`` with a bad flag, frame or prefix"
    EMIT = "V2V-E2077", "an emission that does not fit the output, the frames taken, or the phase"
    MAX_FRAMES = "V2V-E2078", "``max_frames`` is not what the program can hand over"

    # Targets.
    ENGINE = "V2V-E2080", "an engine that is not among the target's files"
