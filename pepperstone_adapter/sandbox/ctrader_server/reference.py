"""What the server knows about symbols and the account itself."""

from decimal import Decimal
from typing import Any

from pepperstone_adapter.broker.symbols import CommissionKind, SwapMode, TradingMode
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ctrader_server.connection import Request
from pepperstone_adapter.sandbox.ctrader_server.directory import measurement_units, money, units, volume
from pepperstone_adapter.sandbox.ctrader_server.wire import WireError, handles
from pepperstone_adapter.sandbox.ledger import Refused, SymbolTerms

#: Tiers without an upper bound are written with this many cents of a dollar.
OPEN_ENDED = 10**15

_MODES = {
    TradingMode.ENABLED: oa.TradingMode.ENABLED,
    TradingMode.CLOSE_ONLY: oa.TradingMode.CLOSE_ONLY_MODE,
    TradingMode.DISABLED: oa.TradingMode.DISABLED_WITHOUT_PENDINGS_EXECUTION,
}
_SWAPS = {
    SwapMode.PIPS: oa.SwapCalculationType.PIPS,
    SwapMode.POINTS: oa.SwapCalculationType.POINTS,
    SwapMode.PERCENT_ANNUAL: oa.SwapCalculationType.PERCENTAGE,
}


@handles(oa.AssetListReq)
def asset_list(request: Request) -> oa.AssetListRes:
    directory = request.venue.directory
    response = oa.AssetListRes(ctidTraderAccountId=request.account_id)
    for name, number in directory.asset_ids.items():
        digits = directory.asset_digits(name)
        response.asset.append(oa.Asset(assetId=number, name=name, displayName=name, digits=digits))
    return response


@handles(oa.AssetClassListReq)
def asset_class_list(request: Request) -> oa.AssetClassListRes:
    response = oa.AssetClassListRes(ctidTraderAccountId=request.account_id)
    for category in request.venue.directory.categories():
        response.assetClass.append(
            oa.AssetClass(id=category.class_id, name=category.name, sortingNumber=float(category.class_id))
        )
    return response


@handles(oa.SymbolCategoryListReq)
def symbol_category_list(request: Request) -> oa.SymbolCategoryListRes:
    response = oa.SymbolCategoryListRes(ctidTraderAccountId=request.account_id)
    for category in request.venue.directory.categories():
        response.symbolCategory.append(
            oa.SymbolCategory(
                id=category.category_id,
                assetClassId=category.class_id,
                name=category.name,
                sortingNumber=float(category.class_id),
            )
        )
    return response


def _light(request: Request, name: str) -> oa.LightSymbol:
    directory = request.venue.directory
    spec = request.venue.ledger.symbols[name].spec
    return oa.LightSymbol(
        symbolId=directory.symbol_ids[name],
        symbolName=name,
        enabled=spec.trading_mode is not TradingMode.DISABLED,
        baseAssetId=directory.asset_ids[spec.base_currency],
        quoteAssetId=directory.asset_ids[spec.quote_currency],
        symbolCategoryId=directory.category(spec.asset_class).category_id,
        description=spec.description,
        sortingNumber=float(list(directory.symbol_ids).index(name) + 1),
    )


@handles(oa.SymbolsListReq)
def symbols_list(request: Request) -> oa.SymbolsListRes:
    response = oa.SymbolsListRes(ctidTraderAccountId=request.account_id)
    for name in request.venue.ledger.symbols:
        response.symbol.append(_light(request, name))
    return response


@handles(oa.SymbolByIdReq)
def symbol_by_id(request: Request) -> oa.SymbolByIdRes:
    venue = request.venue
    response = oa.SymbolByIdRes(ctidTraderAccountId=request.account_id)
    for number in request.message.symbolId:
        name = venue.directory.symbol_names.get(number)
        if name is None:
            raise WireError("unknown_symbol", f"Symbol {number} is not found")
        response.symbol.append(_full(request, venue.ledger.symbols[name]))
    return response


def _full(request: Request, terms: SymbolTerms) -> oa.Symbol:
    spec, venue = terms.spec, request.venue
    triple = oa.DayOfWeek[spec.swap.triple_day.name] if spec.swap.triple_day is not None else oa.DayOfWeek.NONE
    symbol = oa.Symbol(
        symbolId=venue.directory.symbol_ids[spec.name],
        digits=spec.digits,
        pipPosition=spec.pip_position,
        enableShortSelling=spec.short_selling,
        guaranteedStopLoss=False,
        swapRollover3Days=triple,
        swapLong=float(spec.swap.long),
        swapShort=float(spec.swap.short),
        maxVolume=volume(spec.volume_max),
        minVolume=volume(spec.volume_min),
        stepVolume=volume(spec.volume_step),
        maxExposure=volume(terms.max_exposure_units or spec.volume_max * 100),
        schedule=[oa.Interval(startSecond=a, endSecond=b) for a, b in spec.hours.intervals],
        slDistance=terms.stop_distance_points,
        tpDistance=terms.profit_distance_points,
        gslDistance=0,
        gslCharge=0,
        distanceSetIn=oa.SymbolDistanceType.SYMBOL_DISTANCE_IN_POINTS,
        rolloverCommission=0,
        skipRolloverDays=3,
        scheduleTimeZone=spec.hours.zone,
        tradingMode=_MODES[spec.trading_mode],
        rolloverCommission3Days=oa.DayOfWeek.WEDNESDAY,
        lotSize=volume(spec.contract_size),
        pnlConversionFeeRate=int(terms.conversion_fee * 10_000),
        leverageId=venue.directory.leverage_id(terms.tiers),
        swapPeriod=24,
        swapTime=_swap_minute(request),
        skipSWAPPeriods=0,
        chargeSwapAtWeekends=spec.swap.weekend,
        measurementUnits=measurement_units(spec.asset_class),
        **_swap_and_commission(terms),
    )
    for number, day in enumerate(spec.hours.holidays, start=1):
        symbol.holiday.append(
            oa.Holiday(
                holidayId=number,
                name=day.name or f"holiday {number}",
                scheduleTimeZone=spec.hours.zone,
                holidayDate=(day.day.toordinal() - 719_163),
                isRecurring=day.yearly,
                startSecond=day.start_s,
                endSecond=day.end_s,
            )
        )
    if venue.settings.behaviour.extra_fields:
        symbol.MergeFromString(b"\xc8\x02\x01")  # field 41 = 1
    return symbol


def _swap_minute(request: Request) -> int:
    """Minutes after 00:00 UTC of the next server midnight (17:00 New York), less one: a recorded server said 1259."""
    rollover_ns = request.venue.ledger.state.rollover_ns or 0
    return rollover_ns // 60_000_000_000 % 1_440 - 1


def _swap_and_commission(terms: SymbolTerms) -> dict[str, Any]:
    rule, spec = terms.commission, terms.spec
    kind, precise = oa.CommissionType.USD_PER_LOT, rule.rate * 10**8
    match rule.kind:
        case CommissionKind.PER_MILLION:
            kind = oa.CommissionType.USD_PER_MILLION_USD
        case CommissionKind.PERCENT:
            kind, precise = oa.CommissionType.PERCENTAGE_OF_VALUE, rule.rate * 10**5
        case CommissionKind.PER_UNIT:
            precise = rule.rate * spec.contract_size * 10**8
        case CommissionKind.NONE:
            precise = Decimal(0)
        case CommissionKind.PER_LOT:
            pass
    if rule.currency == spec.quote_currency != "USD" and rule.kind in (CommissionKind.PER_LOT, CommissionKind.PER_UNIT):
        kind = oa.CommissionType.QUOTE_CCY_PER_LOT
    coarse = precise if rule.kind is CommissionKind.PERCENT else precise / 10**6
    found: dict[str, Any] = {
        "commission": int(coarse),
        "commissionType": kind,
        "minCommission": int(rule.minimum),
        "minCommissionType": oa.MinCommissionType.CURRENCY,
        "minCommissionAsset": rule.currency,
        "preciseTradingCommissionRate": int(precise),
        "preciseMinCommission": int(rule.minimum * 10**8),
    }
    if spec.swap.mode in _SWAPS and spec.swap.mode is not SwapMode.PIPS:
        found["swapCalculationType"] = _SWAPS[spec.swap.mode]
    return found


@handles(oa.SymbolsForConversionReq)
def symbols_for_conversion(request: Request) -> oa.SymbolsForConversionRes:
    names = request.venue.directory.asset_names
    first, last = names.get(request.message.firstAssetId), names.get(request.message.lastAssetId)
    if first is None or last is None:
        raise WireError("INVALID_REQUEST", "Asset is not found")
    try:
        path = request.venue.ledger.conversion_path(first, last)
    except Refused as refused:
        raise WireError("INVALID_REQUEST", refused.text) from None
    response = oa.SymbolsForConversionRes(ctidTraderAccountId=request.account_id)
    for name in path:
        response.symbol.append(_light(request, name))
    return response


@handles(oa.GetDynamicLeverageByIDReq)
def dynamic_leverage(request: Request) -> oa.GetDynamicLeverageByIDRes:
    for tiers, number in request.venue.directory.leverage_ids.items():
        if number == request.message.leverageId:
            rows = [
                oa.DynamicLeverageTier(
                    volume=int(tier.up_to_usd * 100) if tier.up_to_usd is not None else OPEN_ENDED,
                    leverage=int(tier.leverage * 100),
                )
                for tier in tiers
            ]
            return oa.GetDynamicLeverageByIDRes(
                ctidTraderAccountId=request.account_id, leverage=oa.DynamicLeverage(leverageId=number, tiers=rows)
            )
    raise WireError("INVALID_REQUEST", f"Leverage {request.message.leverageId} is not found")


@handles(oa.TraderReq)
def trader(request: Request) -> oa.TraderRes:
    account_id = request.account_id
    return oa.TraderRes(ctidTraderAccountId=account_id, trader=request.venue.trader(account_id))


@handles(oa.ExpectedMarginReq)
def expected_margin(request: Request) -> oa.ExpectedMarginRes:
    venue, account_id = request.venue, request.account_id
    name = venue.directory.symbol_names.get(request.message.symbolId)
    if name is None:
        raise WireError("unknown_symbol", f"Symbol {request.message.symbolId} is not found")
    digits = venue.account_settings[account_id].money_digits
    response = oa.ExpectedMarginRes(ctidTraderAccountId=account_id, moneyDigits=digits)
    for wanted in request.message.volume:
        try:
            buy, sell = venue.ledger.expected_margin(account_id, name, units(wanted))
        except Refused as refused:
            raise WireError("no_quotes", refused.text) from None
        response.margin.append(
            oa.ExpectedMargin(volume=wanted, buyMargin=money(buy, digits), sellMargin=money(sell, digits))
        )
    return response


@handles(oa.MarginCallListReq)
def margin_call_list(request: Request) -> oa.MarginCallListRes:
    levels = request.venue.ledger.accounts[request.account_id].terms.margin_call_levels
    return oa.MarginCallListRes(marginCall=[request.venue.margin_call(request.account_id, level) for level in levels])


@handles(oa.MarginCallUpdateReq)
def margin_call_update(request: Request) -> oa.MarginCallUpdateRes:
    venue, account_id = request.venue, request.account_id
    wanted = request.message.marginCall
    index = wanted.marginCallType - oa.NotificationType.MARGIN_LEVEL_THRESHOLD_1
    account = venue.ledger.accounts[account_id]
    levels = list(account.terms.margin_call_levels)
    if not 0 <= index < len(levels):
        raise WireError("INVALID_REQUEST", "Margin call type is not set for this account")
    levels[index] = Decimal(str(wanted.marginLevelThreshold))
    venue.ledger.set_margin_calls(account_id, tuple(levels))
    event = oa.MarginCallUpdateEvent(
        ctidTraderAccountId=account_id, marginCall=venue.margin_call(account_id, levels[index])
    )
    venue.broadcast(account_id, event)
    return oa.MarginCallUpdateRes()
