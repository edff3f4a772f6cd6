"""Rows that cannot be trusted: counted by kind, the first of each shown, and refused unless the user says otherwise."""

from dataclasses import dataclass, field
from typing import Any

from pepperstone_adapter.common.errors import DataError

# kind -> what a person reads, and what to do about it besides `--skip-bad`
KINDS: dict[str, tuple[str, str]] = {
    "columns": ("with a wrong number of columns", ""),
    "number": ("with a price that is no number", ""),
    "missing": ("without a price", ""),
    "infinite": ("with an infinite price", ""),
    "zero": ("with a price of zero", "--allow zero"),
    "negative": ("with a negative price", "--allow negative"),
    "crossed": ("with bid above ask", "--allow crossed"),
    "ohlc": ("with high or low not around open and close", ""),
    "digits": ("with more digits than the symbol has", "--round"),
    "volume": ("with a negative volume", ""),
    "time": ("with an unreadable time", ""),
    "epoch": ("with a time before 1990 or in the future", ""),
    "gap": ("at a local time that does not exist (clocks go forward)", "another --zone"),
    "off_period": ("whose time is no multiple of the period", "another --period or --zone"),
    "disorder": ("earlier than the row before", "--sort"),
    "duplicate": ("with the time of the row before", "--duplicates first|last"),
}
ALLOWABLE = ("zero", "negative", "crossed")

# what happened to rows that are fine
NOTES: dict[str, str] = {
    "folded": "in a repeated hour (clocks go back), resolved by order",
    "one_sided": "before both sides were known, left out",
    "unchanged": "without a new bid or ask, left out",
    "same_time": "with the time of the quote before, kept",
    "spike": "moving more than 20 % from the row before, kept",
    "repaired": "whose high or low the broker left out, made legal",
}


@dataclass(slots=True)
class Bad:
    """One kind: how many rows, and where the first one is (`line` 0: unknown)."""

    count: int = 0
    line: int = 0
    text: str = ""
    hint: str = ""


@dataclass(slots=True)
class BadRows:
    """The count of an import. Kinds that policy repairs or keeps (`--sort`, `--allow`) are counted like the others."""

    kinds: dict[str, Bad] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, count: int, line: int = 0, text: str = "", hint: str = "") -> None:
        bad = self.kinds.setdefault(kind, Bad())
        if not bad.count:
            bad.line, bad.text, bad.hint = line, text, hint
        bad.count += count

    def note(self, name: str, count: int) -> None:
        if count:
            self.notes[name] = self.notes.get(name, 0) + count

    @property
    def total(self) -> int:
        return sum(b.count for b in self.kinds.values())

    def refusal(self, file: str, tolerated: frozenset[str]) -> DataError | None:
        """The error for kinds that are not `tolerated`, a line for each; None when there is none."""
        wrong = {k: self.kinds[k] for k in KINDS if k in self.kinds and k not in tolerated}
        if not wrong:
            return None
        parts, ways = [], []
        for kind, bad in wrong.items():
            words, way = KINDS[kind]
            shown = f" (first at {file}:{bad.line}: {shorten(bad.text)!r})" if bad.line else ""
            parts.append(f"{rows_text(bad.count)} {words}{shown}{'; ' + bad.hint if bad.hint else ''}")
            if way:
                ways.append(way)
        fixes = ways + (["--skip-bad to leave them out"] if set(wrong) - {"disorder", "duplicate"} else [])
        end = f"nothing was imported: correct the file, or use {', '.join(fixes)}"
        if len(parts) == 1:
            return DataError(f"{file}: {parts[0]}; {end}")
        return DataError("\n".join([f"{file} has rows that cannot be trusted:", *parts, end]))

    def as_json(self) -> dict[str, Any]:
        return {
            kind: {"rows": bad.count, "first_line": bad.line or None, "first_text": shorten(bad.text) or None}
            for kind, bad in self.kinds.items()
        }


def rows_text(count: int) -> str:
    """``1 row``, ``1,234 rows``."""
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def shorten(text: str, length: int = 80) -> str:
    text = text.strip()
    return text if len(text) <= length else text[: length - 1] + "…"
