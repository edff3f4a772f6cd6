"""`pepperstone auth`: log in to cTrader, and see, refresh or remove what is stored.

Credentials live in the operating system's keyring, else in an encrypted file. The application's secret is asked for
and never taken from the command line, where every process could read it.
"""

import json
import os
import time
from typing import Annotated, Any

import typer

from pepperstone_adapter.cli.started import as_started

app = typer.Typer(no_args_is_help=True, help="Log in to cTrader; show, refresh or remove stored credentials.")

Venue = Annotated[str, typer.Argument(help="The venue: ctrader.")]
Profile = Annotated[str, typer.Option("--profile", help="Name of the stored login, for more than one.")]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        help="Login server: the stored login's, else cTrader's; a sandbox's is http://127.0.0.1:5080.",
        show_default=False,
    ),
]


@app.command()
def login(
    venue: Venue = "ctrader",
    profile: Profile = "default",
    client_id: Annotated[
        str | None, typer.Option("--client-id", help="The application's client id (openapi.ctrader.com).")
    ] = None,
    scope: Annotated[str, typer.Option(help="trading, or accounts for a login that can only read.")] = "trading",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Loopback port the browser comes back to.")] = 8976,
    paste: Annotated[bool, typer.Option("--paste", help="No browser here: paste the address it ends at.")] = False,
    server: Server = None,
) -> None:
    """Log in with a browser and store the tokens.

    Register the application once at openapi.ctrader.com, with the redirect address this command prints
    (http://127.0.0.1:8976/callback unless --port says otherwise). The secret is asked for, or read from
    CTRADER_CLIENT_SECRET.
    """
    from pepperstone_adapter.common.secrets import Secret
    from pepperstone_adapter.ctrader.client import oauth, stores
    from pepperstone_adapter.ctrader.client.tokens import Application, Credentials

    _check_venue(venue)
    store = stores.store_for_writing(profile, lambda: _new_passphrase(profile))
    known = store.load()
    client_id = client_id or os.environ.get("CTRADER_CLIENT_ID") or (known.application.client_id if known else None)
    if not client_id:
        client_id = typer.prompt("Client id")
    secret = os.environ.get("CTRADER_CLIENT_SECRET", "")
    if known is not None and known.application.client_id != client_id:
        known = None  # another application: nothing of what is stored is about it
    server = server or (known.server if known is not None else "") or oauth.SERVER
    if not secret and known is not None:
        application = known.application
    else:
        application = Application(client_id, Secret(secret or typer.prompt("Client secret", hide_input=True)))
    attempt = oauth.Login.begin(application, scope=scope, port=port, server=server)
    typer.echo(f"Redirect address to register: {attempt.redirect_uri}")
    typer.echo(f"Log in here: {attempt.url}")
    if paste:
        code = attempt.code_from(typer.prompt("Address the browser ended at", hide_input=True))
    else:
        code = attempt.wait_for_code(listening=lambda: _open_browser(attempt.url))
    tokens = oauth.exchange(attempt, code, time.time_ns())
    with store.lock():
        store.save(Credentials(application=application, tokens=tokens, server=server))
    typer.echo(f"Logged in. Stored in: {store.describe}")
    login = "" if profile == "default" else f" --set account.profile={profile}"
    typer.echo(as_started(f"Check that it may use your account: pepperstone probe ctrader --account NUMBER{login}"))


@app.command()
def status(
    venue: Venue = "ctrader",
    profile: Profile = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show where the login is stored and how long it lives. Exits with 4 where there is none."""
    from pepperstone_adapter.ctrader.client.tokens import NS, login_hint

    _check_venue(venue)
    store, credentials = _find(profile)
    tokens, now_ns = credentials.tokens, time.time_ns()
    left_s = (tokens.expires_ns - now_ns) // NS if tokens and tokens.expires_ns else None
    facts: dict[str, Any] = {
        "profile": profile,
        "stored_in": store.describe,
        "client_id": credentials.application.client_id,
        "server": credentials.server or None,
        "logged_in": tokens is not None,
        "seconds_left": left_s,
        "refreshable": bool(tokens and tokens.refresh),
        "refresh_due": bool(tokens and tokens.due(now_ns)),
        "refresh_interrupted": credentials.refreshing,
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    life = "unknown" if left_s is None else f"{max(0, left_s) / 86_400:.1f} days left" if left_s > 0 else "over"
    typer.echo(f"profile     {profile}")
    typer.echo(f"stored in   {store.describe}")
    typer.echo(f"client id   {facts['client_id']}")
    typer.echo(f"server      {credentials.server or 'not known'}")
    typer.echo(f"access      {life}")
    typer.echo(f"refresh     {'possible' if facts['refreshable'] else 'not possible: log in again when it ends'}")
    if credentials.refreshing:
        typer.echo(f"warning     a refresh was cut off; if connecting fails, {login_hint(profile)}")


@app.command()
def refresh(venue: Venue = "ctrader", profile: Profile = "default", server: Server = None) -> None:
    """Renew the tokens now. A live node does this by itself when 80 % of a token's life is over."""
    from pepperstone_adapter.common.errors import ConfigurationError
    from pepperstone_adapter.ctrader.client import oauth
    from pepperstone_adapter.ctrader.client.renewal import renew_over_http

    _check_venue(venue)
    store, credentials = _find(profile)
    server = server or credentials.server
    if not server and credentials.tokens is not None and credentials.tokens.refresh:
        raise ConfigurationError(
            f"the stored login does not say which server it came from; add --server {oauth.SERVER}, or the address of "
            "the sandbox it was made at"
        )
    renew_over_http(store, credentials, server)
    typer.echo(f"Refreshed. Stored in: {store.describe}")


@app.command()
def logout(venue: Venue = "ctrader", profile: Profile = "default") -> None:
    """Remove the stored login from this machine. The grant itself is ended on cTrader's own pages."""
    from pepperstone_adapter.common.errors import CredentialsError

    _check_venue(venue)
    store, _ = _find(profile)
    with store.lock():
        removed = store.delete()
    if not removed:
        raise CredentialsError(f"{store.describe}: is not ours to clear; unset the variables yourself")
    typer.echo(f"Removed from: {store.describe}")


def _check_venue(venue: str) -> None:
    from pepperstone_adapter.common.errors import ConfigurationError

    if venue != "ctrader":
        raise ConfigurationError(
            f"{venue!r} has no login of this kind; only ctrader has (MetaTrader logs in by itself)"
        )


def _find(profile: str) -> Any:
    from pepperstone_adapter.common.errors import CredentialsError
    from pepperstone_adapter.ctrader.client import stores
    from pepperstone_adapter.ctrader.client.tokens import login_hint

    found = stores.find_store(profile, _passphrase)
    if found is None:
        raise CredentialsError(f"no cTrader login is stored under profile {profile!r}; {login_hint(profile)}")
    return found


def _passphrase() -> Any:
    from pepperstone_adapter.common.secrets import Secret
    from pepperstone_adapter.ctrader.client import stores

    text = os.environ.get(stores.PASSPHRASE_VARIABLE) or typer.prompt(
        "Passphrase of the credentials file", hide_input=True
    )
    return Secret(text)


def _new_passphrase(profile: str) -> Any:
    from pepperstone_adapter.common.secrets import Secret
    from pepperstone_adapter.ctrader.client import stores

    exists = stores.EncryptedFileStore(profile, stores.data_dir(), _passphrase).exists()
    if exists or os.environ.get(stores.PASSPHRASE_VARIABLE):
        return _passphrase()
    return Secret(typer.prompt("Passphrase for the credentials file", hide_input=True, confirmation_prompt=True))


def _open_browser(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        typer.echo("No browser could be opened here; open the address above, or start again with --paste.")
