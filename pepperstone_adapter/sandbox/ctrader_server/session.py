"""Application, tokens, accounts: who may speak, and about what."""

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ctrader_server.connection import Request, Subscriptions
from pepperstone_adapter.sandbox.ctrader_server.tokens import CLIENT_ID, CLIENT_SECRET, Grant
from pepperstone_adapter.sandbox.ctrader_server.wire import WireError, handles


@handles(oa.HeartbeatEvent)
def heartbeat(request: Request) -> oa.HeartbeatEvent | None:
    return oa.HeartbeatEvent() if request.venue.settings.behaviour.echo_heartbeats else None


@handles(oa.ApplicationAuthReq)
def application_auth(request: Request) -> oa.ApplicationAuthRes:
    if request.connection.app_authorised:
        raise WireError("second_application", "Client is already authenticated")
    if (request.message.clientId, request.message.clientSecret) != (CLIENT_ID, CLIENT_SECRET):
        raise WireError("bad_application", "clientId or clientSecret is incorrect")
    request.connection.app_authorised = True
    return oa.ApplicationAuthRes()


@handles(oa.VersionReq)
def version(_: Request) -> oa.VersionRes:
    return oa.VersionRes(version="91")


def _grant(request: Request, access: str) -> Grant:
    grant = request.venue.tokens.grant(access)
    if grant is None:
        raise WireError("token_invalid", "Invalid access token")
    if request.venue.clock.now_ns() >= grant.expires_ns:
        raise WireError("token_expired", "Access token expired")
    return grant


@handles(oa.GetAccountListByAccessTokenReq)
def account_list(request: Request) -> oa.GetAccountListByAccessTokenRes:
    """Served on either port: demo and live accounts together."""
    grant = _grant(request, request.message.accessToken)
    scope = oa.ClientPermissionScope.SCOPE_TRADE if grant.may_trade else oa.ClientPermissionScope.SCOPE_VIEW
    response = oa.GetAccountListByAccessTokenRes(accessToken=grant.access, permissionScope=scope)
    for account_id in grant.accounts:
        account = request.venue.account_settings[account_id]
        row = oa.CtidTraderAccount(
            ctidTraderAccountId=account_id,
            isLive=account.environment is Environment.LIVE,
            traderLogin=account.login,
            brokerTitleShort=request.venue.settings.broker,
        )
        deals = request.venue.ledger.accounts[account_id].deals
        closing = [deal.ts_ns for deal in deals if deal.closed_units]
        if closing:
            row.lastClosingDealTimestamp = closing[-1] // 1_000_000
        response.ctidTraderAccount.append(row)
    return response


@handles(oa.AccountAuthReq)
def account_auth(request: Request) -> oa.AccountAuthRes:
    venue, account_id = request.venue, request.account_id
    grant = _grant(request, request.message.accessToken)
    if account_id not in grant.accounts:
        raise WireError("unknown_account", f"Trading account {account_id} is not found")
    if venue.account_settings[account_id].environment is not request.connection.environment:
        raise WireError("wrong_environment", "Cannot route request")
    if account_id in request.connection.accounts:
        raise WireError("second_account", "Trading account is already authorized in this channel")
    venue.join(request.connection, account_id, grant)
    request.connection.subscriptions[account_id] = Subscriptions()
    return oa.AccountAuthRes(ctidTraderAccountId=account_id)


@handles(oa.AccountLogoutReq)
def account_logout(request: Request) -> None:
    """Answered, then the session's end is said as well."""
    request.connection.send(oa.AccountLogoutRes(ctidTraderAccountId=request.account_id), request.ref)
    request.venue.leave(request.connection, request.account_id)
    request.connection.send(oa.AccountDisconnectEvent(ctidTraderAccountId=request.account_id))


@handles(oa.RefreshTokenReq)
def refresh_token(request: Request) -> None:
    """Both tokens turn over; the used refresh token is dead, and sessions of the old token end (both are switches)."""
    venue = request.venue
    turned = venue.tokens.refresh(request.message.refreshToken, venue.clock.now_ns())
    if turned is None:
        raise WireError("refresh_token_invalid", "Invalid refresh token")
    old, new = turned
    answer = oa.RefreshTokenRes(
        accessToken=new.access,
        tokenType="bearer",
        expiresIn=venue.tokens.access_lifetime_s,
        refreshToken=new.refresh,
    )
    request.connection.send(answer, request.ref)
    venue.refreshed(old)


@handles(oa.GetCtidProfileByTokenReq)
def profile(request: Request) -> oa.GetCtidProfileByTokenRes:
    _grant(request, request.message.accessToken)
    return oa.GetCtidProfileByTokenRes(profile=oa.CtidProfile(userId=1))
