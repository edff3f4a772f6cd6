"""Message classes and enumerations of the cTrader Open API, built from `descriptor.bin` at import.

They live in a private descriptor pool under names of our own, so that this package can share a process with the
official client, whose generated modules claim cTrader's original names in the default pool. Units and meanings stand
in `proto/*.proto`; what a type checker sees stands in `messages.pyi` (generated).

Proto2 rules that matter to a reader of these messages: an absent field reads as its default, which is often plausible
data (test `HasField`); a value an enumeration does not know makes its field absent and is kept, byte for byte, among
the unknown fields.
"""

from enum import IntEnum
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__: list[str] = []


def _load() -> None:
    pool = DescriptorPool()
    files = FileDescriptorSet.FromString(Path(__file__).with_name("descriptor.bin").read_bytes())
    for file in files.file:  # protoc writes a file after the files it imports
        pool.Add(file)
    for proto in files.file:
        file = pool.FindFileByName(proto.name)
        for name, enum in file.enum_types_by_name.items():
            globals()[name] = IntEnum(name, {v.name: v.number for v in enum.values}, module=__name__)  # type: ignore[misc]
            __all__.append(name)
        for name, message in file.message_types_by_name.items():
            globals()[name] = GetMessageClass(message)
            __all__.append(name)


_load()
