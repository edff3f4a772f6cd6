"""`pepperstone mt5-gateway`: serve the terminal of this machine. The work is `mt5.gateway.__main__`'s, which also runs
where this package is not installed whole (under Wine, from one file)."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    host: Annotated[str, typer.Option(help="Address to listen on; anything but loopback needs a token and TLS.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port to listen on, 0 = any.", min=0, max=65535)] = 18_815,
    path: Annotated[
        str | None, typer.Option(help="terminal64.exe to attach to; give it when more than one is installed.")
    ] = None,
    portable: Annotated[bool, typer.Option("--portable", help="Start the terminal in portable mode.")] = False,
    login: Annotated[
        int | None, typer.Option(help="Account number; orders are refused while the terminal shows another.")
    ] = None,
    server: Annotated[str | None, typer.Option(help="Trade server name, e.g. Pepperstone-Demo.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate chain (PEM).")] = None,
    private_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    state_dir: Annotated[Path, typer.Option(help="Order keys live here.")] = Path("state"),
    fastest_ms: Annotated[float, typer.Option(help="Pause between polls when busy.", min=1)] = 10.0,
    slowest_ms: Annotated[float, typer.Option(help="Pause between polls when quiet.", min=1)] = 50.0,
    terminal: Annotated[
        str, typer.Option(help="Module of the terminal, or module:factory of a stand-in.")
    ] = "MetaTrader5",
    bundle: Annotated[
        Path | None, typer.Option(metavar="FILE.pyz", help="Write this gateway as one runnable file and end.")
    ] = None,
) -> None:
    """Serve the MetaTrader 5 terminal of this machine to trading nodes.

    Run it beside the terminal, on Windows or with Python under Wine:

        pepperstone mt5-gateway --login 1234567 --server Pepperstone-Demo

    For a node on another machine it needs TLS and a token:

        \b
        pepperstone mt5-gateway --host 0.0.0.0 \\
            --certificate gw.pem --private-key gw.key

    Where only Python, msgpack, numpy and MetaTrader5 are installed, make one file of it and run that there:

        pepperstone mt5-gateway --bundle gateway.pyz

    Secrets come from the environment: PEPPERSTONE_MT5_PASSWORD (of --login), PEPPERSTONE_MT5_GATEWAY_TOKEN (trading
    clients), PEPPERSTONE_MT5_GATEWAY_READ_TOKEN (read-only clients). Exit codes: 0 stopped by Ctrl-C or SIGTERM,
    2 unsafe or wrong options, 5 the port is taken.
    """
    from pepperstone_adapter.mt5.gateway.__main__ import main

    values: dict[str, object] = {
        "--host": host,
        "--port": port,
        "--path": path,
        "--login": login,
        "--server": server,
        "--certificate": certificate,
        "--private-key": private_key,
        "--state-dir": state_dir,
        "--fastest-ms": fastest_ms,
        "--slowest-ms": slowest_ms,
        "--terminal": terminal,
        "--bundle": bundle,
    }
    argv = [f"{name}={value}" for name, value in values.items() if value is not None]
    code = main([*argv, *(["--portable"] if portable else [])])
    if code:
        raise typer.Exit(code)
