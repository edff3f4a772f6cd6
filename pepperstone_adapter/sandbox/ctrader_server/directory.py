"""The server's numbers for names: symbols, assets, categories, leverage tables. They mean nothing on another server."""

from dataclasses import dataclass
from decimal import Decimal

from pepperstone_adapter.broker.symbols import AssetClass, LeverageTier
from pepperstone_adapter.sandbox.ledger import SymbolTerms

#: Asset numbers a recorded server used; others follow from `_FIRST_ASSET`.
_KNOWN_ASSETS = {"EUR": 5, "USD": 15, "XAU": 17}
_FIRST_ASSET = 100
#: Symbol numbers a recorded server used.
_KNOWN_SYMBOLS = {"EURUSD": 1, "XAUUSD": 41}
_FIRST_SYMBOL = 201
_CATEGORY = {
    AssetClass.FX: (11, 1, "Forex"),
    AssetClass.METAL: (9, 2, "Metals"),
    AssetClass.INDEX: (13, 3, "Indices"),
    AssetClass.ENERGY: (14, 4, "Energies"),
    AssetClass.CRYPTO: (15, 5, "Crypto Currency"),
    AssetClass.SHARE: (16, 6, "Stocks"),
    AssetClass.OTHER: (17, 7, "Other"),
}
_MONEY_DIGITS = {"JPY": 0, "BTC": 8}


@dataclass(frozen=True, slots=True)
class Category:
    category_id: int
    class_id: int
    name: str


class Directory:
    def __init__(self, symbols: dict[str, SymbolTerms], currencies: set[str]) -> None:
        self.symbol_ids: dict[str, int] = {}
        self.symbol_names: dict[int, str] = {}
        free = _FIRST_SYMBOL
        for name, terms in symbols.items():
            number = terms.spec.venue_id or _KNOWN_SYMBOLS.get(name)
            if number is None or number in self.symbol_names:
                number, free = free, free + 1
            self.symbol_ids[name] = number
            self.symbol_names[number] = name
        assets = {t.spec.base_currency for t in symbols.values()} | {t.spec.quote_currency for t in symbols.values()}
        self.asset_ids: dict[str, int] = {}
        for offset, asset in enumerate(sorted(assets | currencies)):
            self.asset_ids[asset] = _KNOWN_ASSETS.get(asset, _FIRST_ASSET + offset)
        self.asset_names = {number: name for name, number in self.asset_ids.items()}
        tables = dict.fromkeys(terms.tiers for terms in symbols.values())
        self.leverage_ids = {tiers: 1001 + n for n, tiers in enumerate(tables)}

    def leverage_id(self, tiers: tuple[LeverageTier, ...]) -> int:
        """The number of a leverage table; a new table gets a new one."""
        return self.leverage_ids.setdefault(tiers, 1001 + len(self.leverage_ids))

    @staticmethod
    def category(asset_class: AssetClass) -> Category:
        return Category(*_CATEGORY[asset_class])

    @staticmethod
    def categories() -> list[Category]:
        return [Category(*row) for row in _CATEGORY.values()]

    @staticmethod
    def asset_digits(asset: str) -> int:
        return _MONEY_DIGITS.get(asset, 2)


def measurement_units(asset_class: AssetClass) -> str:
    """Recorded: empty for currencies, "Contracts" for everything else."""
    return "" if asset_class is AssetClass.FX else "Contracts"


def volume(units: Decimal) -> int:
    """Units as the wire counts them: hundredths of a unit."""
    return int(units.scaleb(2).to_integral_value())


def units(wire_volume: int) -> Decimal:
    return Decimal(wire_volume).scaleb(-2)


def money(amount: Decimal, digits: int) -> int:
    """Money as an integer of 10^-digits."""
    return int(amount.scaleb(digits).to_integral_value())


def price(value: float) -> Decimal:
    """A double from the wire as the decimal a person typed; digits beyond the symbol's survive, to be refused."""
    return Decimal(repr(value)) if value == value and abs(value) != float("inf") else Decimal("NaN")


def wire_price(points: int, digits: int) -> int:
    """A price in points as the wire's hundred-thousandths."""
    return points * int(10 ** (5 - digits)) if digits <= 5 else round(points / 10 ** (digits - 5))


def ms(ts_ns: int) -> int:
    return ts_ns // 1_000_000
