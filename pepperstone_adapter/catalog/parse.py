"""Blocks of text to columns of integers: times in the server's clock, prices in points. One pass of arrays per block.

The fast way reads every column with its type at once. When that fails somewhere in a block, the block is read again as
text and each value is judged alone, so that a bad row costs time and not the import, and its line can be named.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import crossed
from pepperstone_adapter.catalog.formats import SYMBOL_COLUMNS, TableFormat
from pepperstone_adapter.catalog.source import Block
from pepperstone_adapter.catalog.times import NO_TIME, Times, parse_times
from pepperstone_adapter.common.errors import DataError

NOISE_POINTS = 1e-5  # float noise of exports: 129526.99999999999 is 129527
MAX_POINTS = 2**50  # above this float64 no longer holds every point
_EPOCH_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_BLANK = ("", "nan", "null", "none", "n/a", "na", "#n/a", "-nan")
_COMMA = re.compile(r"\d+,\d+")

type Int64s = NDArray[np.int64]
type Bools = NDArray[np.bool_]


@dataclass(slots=True)
class Rows:
    """Rows of one block. `ts_ns` is the text's own clock (UTC where `utc`); prices are points by role."""

    ts_ns: Int64s
    utc: Bools
    prices: dict[str, Int64s]
    ticks: Int64s | None
    row: Int64s  # index of each row among the block's data lines, to find its line again

    def __len__(self) -> int:
        return len(self.ts_ns)

    def keep(self, mask: Bools) -> None:
        self.ts_ns, self.utc, self.row = self.ts_ns[mask], self.utc[mask], self.row[mask]
        self.prices = {name: values[mask] for name, values in self.prices.items()}
        if self.ticks is not None:
            self.ticks = self.ticks[mask]


class BlockParser:
    """Parses the blocks of one file, in order.

    Parameters
    ----------
    digits
        Decimals of the symbol's prices; more in the file are bad rows (kind ``digits``) unless `round_digits`.
    allow
        Kinds that are counted and kept: ``zero``, ``negative``, ``crossed``.
    """

    def __init__(
        self,
        form: TableFormat,
        digits: int,
        bad: BadRows,
        allow: frozenset[str] = frozenset(),
        *,
        round_digits: bool = False,
    ) -> None:
        self.form = form
        self._digits = digits
        self._bad = bad
        self._allow = allow
        self._round = round_digits
        self._header_due = form.header
        self.epoch_number = 0.0  # typical size of the block's time numbers, to tell a wrong unit
        self._pair = form.pair  # of all rows; by the first that names one where the format does not
        self._last_side = {"bid": np.nan, "ask": np.nan}
        self.carried = False  # a blank side was filled with an earlier price
        self._block = Block(b"", 1)
        self._lines: list[tuple[int, str]] | None = None

    def parse(self, block: Block) -> Rows:
        """Rows of a block that can be trusted; the others are counted."""
        self._block, self._lines = self._without_header(block), None
        if not self._block.data or self._block.data.isspace():
            return self._rows(Times(np.empty(0, np.int64), np.empty(0, np.bool_)), {}, None)
        table = self._read(typed=True)
        bad: dict[str, Bools] = {}
        if table is None:
            table = self._read(typed=False)
            numbers = {role: self._lenient(table, role, bad) for role in self._number_roles()}
        else:
            numbers = {role: _floats(table[self.form.roles[role]]) for role in self._number_roles()}
        times = self._times(table)
        if "pair" in self.form.roles:
            self._check_pair(table)
        ticks = self._ticks(numbers.pop("volume", None), bad)
        one_sided = self._carry(numbers) if self.form.carry else None
        rows = self._rows(times, self._points(numbers, bad), ticks)
        bad["time"] = rows.ts_ns == NO_TIME
        self._shape(rows.prices, bad)
        if one_sided is not None and one_sided.any():
            self._bad.note("one_sided", int(one_sided.sum()))
            bad = {kind: mask & ~one_sided for kind, mask in bad.items()}
            self.drop(rows, bad)
            rows.keep(~one_sided[rows.row])
        else:
            self.drop(rows, bad)
        return rows

    def drop(
        self, rows: Rows, bad: dict[str, Bools], hints: dict[str, str] | None = None, *, keep_equal: bool = False
    ) -> None:
        """Count bad rows by kind and leave out those that policy does not keep; a row counts once, by its first kind.

        `keep_equal` counts rows of equal time and leaves them in: a later step chooses among them.
        """
        out = np.zeros(len(rows), np.bool_)
        for kind, mask in bad.items():
            fresh = mask & ~out
            if not fresh.any():
                continue
            first = int(np.argmax(fresh))
            line, text = self.line_of(int(rows.row[first]))
            hint = (hints or {}).get(kind, "")
            if kind == "number" and self.form.delimiter != "," and _COMMA.search(text):
                hint = "it has a decimal comma: write a dot, or set decimal: ',' in a column map"
            if kind == "time" and self.form.template:
                hint = f"the column map's time_form is {self.form.template}"
            self._bad.add(kind, int(fresh.sum()), line, text, hint)
            if kind not in self._allow and not (kind == "duplicate" and keep_equal):
                out |= fresh
        if out.any():
            rows.keep(~out)

    def line_of(self, row: int) -> tuple[int, str]:
        """Number and text of a data row of the block parsed last."""
        if self._lines is None:
            self._lines = []
            for number, raw in enumerate(self._block.data.split(b"\n"), self._block.first_line):
                text = raw.rstrip(b"\r").decode("utf-8", "replace")
                if text and self._fields(text) == len(self.form.columns):
                    self._lines.append((number, text))
        return self._lines[row] if row < len(self._lines) else (0, "")

    def _fields(self, text: str) -> int:
        if self.form.quoted:
            text = re.sub(r'"[^"]*"', "", text)
        return text.count(self.form.delimiter) + 1

    def _without_header(self, block: Block) -> Block:
        if not self._header_due:
            return block
        data, line = block.data, block.first_line
        while data:
            end = data.find(b"\n") + 1 or len(data)
            head, data, line = data[:end], data[end:], line + 1
            if not head.isspace():
                self._header_due = False
                break
        return Block(data, line)

    def _number_roles(self) -> tuple[str, ...]:
        return self.form.price_roles + (("volume",) if "volume" in self.form.roles else ())

    def _read(self, *, typed: bool) -> pa.Table | None:
        roles = self.form.roles
        wanted = dict.fromkeys(roles.values(), pa.string())
        if self.form.epoch and typed:
            wanted[roles["time"]] = pa.int64()
        if typed:
            wanted |= {roles[r]: pa.float64() for r in self._number_roles()}
        ragged: list[str] = []

        def skip(row: Any) -> str:
            ragged.append(row.text or "")
            return "skip"

        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(self._block.data),
                read_options=pyarrow.csv.ReadOptions(column_names=list(self.form.columns)),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self.form.delimiter,
                    quote_char='"' if self.form.quoted else False,
                    invalid_row_handler=skip,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=wanted, include_columns=list(wanted), decimal_point=self.form.decimal
                ),
            )
        except pa.ArrowInvalid as error:
            if typed:
                return None
            line = self._block.first_line
            raise DataError(f"from line {line} on: {str(error).splitlines()[0]}; export the data again") from error
        if ragged:
            self._count_ragged(len(ragged))
        return table.combine_chunks()

    def _count_ragged(self, count: int) -> None:
        for number, raw in enumerate(self._block.data.split(b"\n"), self._block.first_line):
            text = raw.rstrip(b"\r").decode("utf-8", "replace")
            if text and self._fields(text) != len(self.form.columns):
                hint = (
                    "the file may be cut off at its end"
                    if not raw.endswith(b"\r") and _is_last(self._block, number)
                    else ""
                )
                self._bad.add("columns", count, number, text, hint)
                return
        self._bad.add("columns", count)

    def _lenient(self, table: pa.Table, role: str, bad: dict[str, Bools]) -> NDArray[np.float64]:
        """Numbers of a text column; what is no number becomes NaN and is marked."""
        text = _chunk(table[self.form.roles[role]])
        if self.form.decimal != ".":
            text = pc.replace_substring(text, self.form.decimal, ".")
        text = pc.utf8_trim_whitespace(text)
        is_number = pc.match_substring_regex(text, _NUMBER)
        is_word = pc.is_in(pc.utf8_lower(text), pa.array([*_BLANK, "inf", "-inf", "infinity"]))
        values = pc.if_else(is_number, text, pa.scalar(None, pa.string())).cast(pa.float64())
        numbers = np.array(values.to_numpy(zero_copy_only=False), np.float64)
        numbers[np.asarray(pc.match_substring(pc.utf8_lower(text), "inf"))] = np.inf
        wrong = ~np.asarray(is_number) & ~np.asarray(is_word)
        if wrong.any():
            bad["number"] = bad.get("number", np.zeros(len(wrong), np.bool_)) | wrong
        return numbers

    def _times(self, table: pa.Table) -> Times:
        roles = self.form.roles
        if self.form.epoch:
            column = table[roles["time"]]
            if pa.types.is_string(column.type):
                column = pc.if_else(
                    pc.match_substring_regex(column, r"^-?\d{1,18}$"), column, pa.scalar(None, pa.string())
                )
                column = column.cast(pa.int64())
            nulls = np.asarray(pc.is_null(column))
            raw = np.asarray(pc.fill_null(column, 0).to_numpy(), np.int64)
            self.epoch_number = float(np.median(np.abs(raw))) if len(raw) else 0.0
            unit = _EPOCH_NS[self.form.epoch]
            ns = np.clip(raw, -(2**62) // unit, 2**62 // unit) * unit
            return Times(np.where(nulls, NO_TIME, ns), np.ones(len(ns), np.bool_))
        if "time" in roles or "clock" not in roles:
            return parse_times(_chunk(table[roles["time" if "time" in roles else "date"]]), self.form.template)
        # The form of both: date, a space, clock.
        date_form, _, clock_form = (self.form.template or "").partition(" ")
        dates = parse_times(_chunk(table[roles["date"]]), date_form or None)
        clocks = parse_times(_chunk(table[roles["clock"]]), clock_form or None)
        unreadable = (dates.ns == NO_TIME) | (clocks.ns == NO_TIME)
        return Times(np.where(unreadable, NO_TIME, dates.ns + np.where(unreadable, 0, clocks.ns)), clocks.utc)

    def _check_pair(self, table: pa.Table) -> None:
        told = (str(p).strip(' <>"').replace("/", "") for p in pc.unique(table[self.form.roles["pair"]]).to_pylist())
        # Blank, or a header again where files were put together: bad rows, but no symbol.
        pairs = {name for name in told if name and name.lower() not in SYMBOL_COLUMNS}
        if self._pair is None and len(pairs) == 1:
            self._pair = next(iter(pairs))
        if pairs - {self._pair}:
            several = sorted(pairs | {self._pair or ""} - {""})
            raise DataError(f"holds rows of several symbols: {', '.join(several)}; split it, one file a symbol")

    def _points(self, numbers: dict[str, NDArray[np.float64]], bad: dict[str, Bools]) -> dict[str, Int64s]:
        factor = 1.0 if self.form.points else 10.0**self._digits
        out: dict[str, Int64s] = {}
        marks: dict[str, list[Bools]] = {k: [] for k in ("missing", "infinite", "zero", "negative", "digits")}
        for role, price in numbers.items():
            scaled = price * factor
            points = np.rint(scaled)
            with np.errstate(invalid="ignore"):
                odd = ~(np.abs(scaled - points) <= NOISE_POINTS) | ~(np.abs(points) < MAX_POINTS)
                lowest = points.min() if len(points) else 1.0
            if odd.any():
                nan, inf = np.isnan(price), np.isinf(price) | (np.abs(points) >= MAX_POINTS)
                marks["missing"].append(nan)
                marks["infinite"].append(inf)
                if not self._round:
                    marks["digits"].append(odd & ~nan & ~inf)
                points = np.where(nan | inf, 1.0, points)
            if not lowest > 0:
                marks["zero"].append(points == 0)
                marks["negative"].append(points < 0)
            out[role] = points.astype(np.int64)
        # A value that is no number is NaN here too: it keeps the kind it was given before.
        bad.update({k: np.logical_or.reduce(m) for k, m in marks.items() if m})
        return out

    def _carry(self, numbers: dict[str, NDArray[np.float64]]) -> Bools:
        """Fill blank sides with the side's last price, in place; marks rows from before both sides had one."""
        unknown = np.zeros(len(next(iter(numbers.values()))), np.bool_)
        for role, price in numbers.items():
            place = np.maximum.accumulate(np.where(np.isnan(price), -1, np.arange(len(price))))
            filled = np.where(place >= 0, price[np.maximum(place, 0)], self._last_side[role])
            if len(filled):
                self._last_side[role] = filled[-1]
            unknown |= np.isnan(filled)
            self.carried |= bool(np.isnan(price).any())
            numbers[role] = np.where(np.isnan(filled), 1.0, filled)
        return unknown

    def _ticks(self, volume: NDArray[np.float64] | None, bad: dict[str, Bools]) -> Int64s | None:
        if volume is None:
            return None
        wrong = np.isnan(volume) | np.isinf(volume) | (np.abs(volume) > MAX_POINTS)
        if (volume < 0).any():
            bad["volume"] = volume < 0
        return np.where(wrong, 0, np.rint(np.where(wrong, 0, volume))).astype(np.int64)

    def _shape(self, prices: dict[str, Int64s], bad: dict[str, Bools]) -> None:
        """Prices that contradict each other, judged only where every price is one."""
        if "bid" in prices:
            wrong = crossed([prices["bid"]], [prices["ask"]])
        else:
            sides = ("bid_", "ask_") if self.form.two_sided else ("",)
            odd = np.zeros(len(next(iter(prices.values()))), np.bool_)
            for s in sides:
                o, h, low, c = (prices[s + n] for n in ("open", "high", "low", "close"))
                odd |= (h < np.maximum(o, c)) | (low > np.minimum(o, c)) | (h < low)
            if odd.any():
                bad["ohlc"] = odd
            if not self.form.two_sided:
                return
            four = ("open", "high", "low", "close")
            wrong = crossed([prices[f"bid_{n}"] for n in four], [prices[f"ask_{n}"] for n in four])
        if wrong.any():
            bad["crossed"] = wrong

    def _rows(self, times: Times, prices: dict[str, Int64s], ticks: Int64s | None) -> Rows:
        return Rows(times.ns, times.utc, prices, ticks, np.arange(len(times.ns), dtype=np.int64))


def _is_last(block: Block, number: int) -> bool:
    return number == block.first_line + block.data.count(b"\n") and not block.data.endswith(b"\n")


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(_chunk(column).to_numpy(zero_copy_only=False), np.float64)


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
