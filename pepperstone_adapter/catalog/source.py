"""A text file of rows, whatever it is wrapped in, as blocks of whole UTF-8 lines in bounded memory.

Plain, gzip or a zip with one member; UTF-8 or UTF-16, with or without a byte order mark: all are told from the first
bytes, never from the file's name, and reported. Decompression stops when a file grows out of proportion (a "bomb").
"""

import codecs
import gzip
import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pepperstone_adapter.common.errors import DataError

BLOCK_BYTES = 8 << 20
HEAD_BYTES = 64 << 10
MAX_LINE_BYTES = 1 << 20
MAX_RATIO = 200  # market data compresses 5 to 40 times; gzip can reach 1032
RATIO_FREE_BYTES = 64 << 20

type OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the first bytes of a file say.

    Attributes
    ----------
    compression
        ``none``, ``gzip`` or ``zip``.
    encoding
        Codec name of the text; `bom` tells whether it began with a byte order mark.
    head
        The first lines, decoded.
    """

    path: Path
    size: int
    compression: str
    encoding: str
    bom: bool
    head: str

    @property
    def name(self) -> str:
        return self.path.name

    def facts(self) -> str:
        text = self.encoding.upper() + (" with BOM" if self.bom else "")
        return text if self.compression == "none" else f"{self.compression}, {text}"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines as UTF-8, with a replacement character for a byte that is none: it spoils its own row and no other.
    `first_line` is the number of the first one, counted from 1."""

    data: bytes
    first_line: int


def open_source(path: Path) -> Source:
    """Examine a file.

    Raises
    ------
    DataError
        Missing, a folder, empty, or no text of rows at all.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise DataError(f"{path} is a folder; name the files in it, such as {path}/*.csv")
        with path.open("rb") as file:
            magic = file.read(8)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not size:
        raise DataError(f"{path} is empty; export the data again")
    compression = "gzip" if magic[:2] == b"\x1f\x8b" else "zip" if magic[:4] == b"PK\x03\x04" else "none"
    for other, name in _NOT_TEXT.items():
        if magic.startswith(other):
            raise DataError(f"{path} is {name}, not rows of text; export or unpack it to CSV")
    with _bytes(path, compression) as raw:
        head = _read(raw, HEAD_BYTES, path)
    if not head:
        raise DataError(f"{path} is empty inside its {compression}; export the data again")
    encoding, mark = _encoding(head, path)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head[len(mark) :])
    if text.lstrip()[:1] == "<" and text.lstrip()[:9].lower() in ("<!doctype", "<html>", "<html lan"):
        raise DataError(f"{path} is a web page, not data; the download probably needed a login")
    return Source(path=path, size=size, compression=compression, encoding=encoding, bom=bool(mark), head=text)


_NOT_TEXT = {
    b"PAR1": "a Parquet file",
    b"\x28\xb5\x2f\xfd": "Zstandard-compressed",
    b"BZh": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x89PNG": "a picture",
    b"%PDF": "a PDF",
}

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def _encoding(head: bytes, path: Path) -> tuple[str, bytes]:
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, mark
    sample = head[:4096]
    zeros_even, zeros_odd = sample[0::2].count(0), sample[1::2].count(0)
    if zeros_odd > len(sample) // 3 and not zeros_even:
        return "utf-16-le", b""
    if zeros_even > len(sample) // 3 and not zeros_odd:
        return "utf-16-be", b""
    if 0 in sample:
        raise DataError(f"{path} holds binary data (a NUL at byte {sample.index(0)}), not rows of text")
    return "utf-8", b""


@contextmanager
def _bytes(path: Path, compression: str) -> Iterator[IO[bytes]]:
    if compression == "gzip":
        with gzip.open(path, "rb") as stream:
            yield stream  # type: ignore[misc]  # GzipFile reads bytes; typeshed does not call it IO[bytes]
    elif compression == "zip":
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise DataError(f"{path} is a damaged zip file ({error}); download it again") from error
        with archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX")]
            tables = [m for m in members if m.filename.lower().endswith((".csv", ".txt", ".tsv"))] or members
            if len(tables) != 1:
                names = ", ".join(m.filename for m in tables[:5]) or "nothing"
                raise DataError(f"{path} must hold one file of rows, it holds {names}; unpack it and import each")
            if tables[0].flag_bits & 1:
                raise DataError(f"{path} is encrypted; unpack it first")
            with _member(archive, tables[0], path) as stream:
                yield stream
    else:
        with path.open("rb") as stream:
            yield stream


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> IO[bytes]:
    try:
        return archive.open(member)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is a damaged zip file ({error}); download it again") from error
    except NotImplementedError as error:
        raise DataError(
            f"{path} is packed by a method that cannot be read here (Deflate64 of a large zip made on Windows, say); "
            "unpack it and import what was in it"
        ) from error


def _read(stream: IO[bytes], size: int, path: Path) -> bytes:
    try:
        return stream.read(size)
    except EOFError as error:
        raise DataError(
            f"{path} ends early inside its compression (truncated?); download or export it again"
        ) from error
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged inside its compression ({error}); download or export it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def read_blocks(
    source: Source, on_progress: OnProgress | None = None, block_bytes: int = BLOCK_BYTES
) -> Iterator[Block]:
    """All lines of a source.

    Raises
    ------
    DataError
        Damaged or outsized compression, undecodable UTF-16, or a line longer than 1 MiB.
    """
    decoder = None
    if source.encoding != "utf-8":
        decoder = codecs.getincrementaldecoder(source.encoding)()
    rest, line, total = b"", 1, 0
    with _bytes(source.path, source.compression) as stream:
        while raw := _read(stream, block_bytes, source.path):
            first = total == 0
            total += len(raw)
            if source.compression != "none":
                _check_ratio(source, total)
            if first and source.bom:
                raw = raw[3 if source.encoding == "utf-8" else 2 :]
            text = _transcode(decoder, raw, source, line) if decoder else raw
            cut = text.rfind(b"\n") + 1
            # One copy of a block, not three; without a line end all of it waits.
            data, rest = (b"".join((rest, memoryview(text)[:cut])), text[cut:]) if cut else (b"", rest + text)
            if len(rest) > MAX_LINE_BYTES:
                raise DataError(
                    f"{source.path}:{line + data.count(b'\n')}: a line of over 1 MiB; this is no file of rows"
                )
            if data:
                yield Block(_as_utf8(data), line)
                line += data.count(b"\n")
            if on_progress is not None:
                on_progress(_compressed_position(stream, source, total), source.size)
        if decoder is not None:
            rest += _transcode(decoder, b"", source, line, final=True)
    if rest.strip(b"\r\n \0"):
        yield Block(_as_utf8(rest), line)
    if on_progress is not None:
        on_progress(source.size, source.size)


def _as_utf8(text: bytes) -> bytes:
    return text if text.isascii() else text.decode("utf-8", "replace").encode()


def _transcode(
    decoder: codecs.IncrementalDecoder, raw: bytes, source: Source, line: int, *, final: bool = False
) -> bytes:
    try:
        return decoder.decode(raw, final).encode()
    except UnicodeError as error:
        raise DataError(f"{source.path}: after line {line}: not {source.encoding.upper()} ({error})") from error


def _check_ratio(source: Source, total: int) -> None:
    if total > RATIO_FREE_BYTES and total > source.size * MAX_RATIO:
        raise DataError(
            f"{source.path} unpacks to more than {MAX_RATIO} times its size ({total >> 20} MiB so far); that is "
            "no market data. If it is, unpack it yourself and import the plain file"
        )


def _compressed_position(stream: IO[bytes], source: Source, total: int) -> int:
    if source.compression == "none":
        return min(total, source.size)
    raw = getattr(stream, "fileobj", None) or getattr(stream, "_fileobj", None)
    try:
        return min(raw.tell(), source.size) if raw is not None else 0
    except (OSError, ValueError):
        return 0


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, as stored (compressed or not)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
