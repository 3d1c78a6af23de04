"""Every error code of bundles on disk, one line each (V2V-E1xxx)."""

from __future__ import annotations

from enum import StrEnum


class BundleCode(StrEnum):
    """A code and, in ``text``, what it names."""

    text: str

    def __new__(cls, value: str, text: str) -> BundleCode:
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    # What stands where a bundle should.
    NOT_FOUND = "V2V-E1001", "there is nothing at this path"
    NOT_A_BUNDLE = "V2V-E1002", "a folder or file that is no bundle"
    IS_ARCHIVE = "V2V-E1003", "a packed bundle where an unpacked one is needed"
    UNREADABLE = "V2V-E1004", "the operating system refused to read it"

    # Its files.
    MISSING_FILE = "V2V-E1010", "a listed file does not exist"
    FILE_SIZE = "V2V-E1011", "a file is shorter or longer than listed"
    FILE_HASH = "V2V-E1012", "a file's content is not what was hashed"
    UNLISTED = "V2V-E1013", "a file or folder that no list names"
    LINK = "V2V-E1014", "a symbolic or hard link"
    SPECIAL = "V2V-E1015", "neither a plain file nor a folder"
    SEAL = "V2V-E1016", "bundle.json or target.json is not what its .sha256 file says"
    BAD_PATH = "V2V-E1017", "a path that leaves the bundle"

    # Its targets.
    NO_TARGET = "V2V-E1020", "no such target, or more than one to choose from"
    OTHER_BUNDLE = "V2V-E1021", "a target made for another bundle"
    TARGET_MISFIT = "V2V-E1022", "a target that names what its bundle does not have"

    # Safetensors files.
    TENSORS_HEADER = "V2V-E1030", "a safetensors header that is cut, too long, or not strict JSON"
    TENSORS_ENTRY = "V2V-E1031", "a tensor's entry with a wrong key, type or shape"
    TENSORS_OFFSETS = "V2V-E1032", "tensors that overlap, leave holes, or leave the file"
    TENSORS_VALUE = "V2V-E1033", "a bool tensor with bytes other than 0 and 1"
    NO_TENSOR = "V2V-E1034", "a blob that its file does not hold"
    BLOB_MISMATCH = "V2V-E1035", "a blob whose type or shape is not the declared one"

    # Archives.
    ARCHIVE = "V2V-E1040", "an archive that is cut, damaged, or not one of ours"
    ARCHIVE_MEMBER = "V2V-E1041", "an archive member that is not a listed plain file"

    # Writing.
    EXISTS = "V2V-E1050", "something stands where the result should go"
    NOT_WRITTEN = "V2V-E1051", "the operating system refused to write it (disk full, permissions)"
    BAD_VALUE = "V2V-E1052", "a value that the file format does not have"
