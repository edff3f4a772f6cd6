"""Run a gateway: ``pepperstone mt5-gateway`` or ``python -m pepperstone_adapter.mt5.gateway``, or from one file.

Plain argparse and logging, because under Wine nothing but msgpack, numpy and MetaTrader5 is installed beside Python.
Secrets come from the environment or files, never from the command line, where every user of the machine can read them:

========================================  =====================================================================
PEPPERSTONE_MT5_PASSWORD                  password of ``--login``
PEPPERSTONE_MT5_GATEWAY_TOKEN             shared secret of trading clients (20 random characters or more)
PEPPERSTONE_MT5_GATEWAY_READ_TOKEN        shared secret of read-only clients
========================================  =====================================================================
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
import zipapp
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copytree, ignore_patterns

from pepperstone_adapter.mt5.gateway.options import BadOptions, GatewayOptions
from pepperstone_adapter.mt5.gateway.supervisor import Supervisor

PACKAGE = Path(__file__).parents[2]
SHARED = ("common/journal.py",)  # what the gateway takes of the other floors; it must need no more than this


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="pepperstone mt5-gateway",
        description="Serve a MetaTrader 5 terminal on this machine to trading nodes. Listens on loopback unless told "
        "otherwise; anything else needs a token and TLS.",
        epilog="Secrets: PEPPERSTONE_MT5_PASSWORD, PEPPERSTONE_MT5_GATEWAY_TOKEN, PEPPERSTONE_MT5_GATEWAY_READ_TOKEN.",
    )
    out.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    out.add_argument("--port", type=int, default=18_815, help="port to listen on, 0 = any (default: %(default)s)")
    out.add_argument("--path", help="terminal64.exe to attach to; give it when more than one is installed")
    out.add_argument("--portable", action="store_true", help="start the terminal in portable mode")
    out.add_argument("--login", type=int, help="account number; orders are refused when the terminal shows another")
    out.add_argument("--server", help="trade server name, e.g. Pepperstone-Demo")
    out.add_argument("--certificate", type=Path, help="TLS certificate chain (PEM)")
    out.add_argument("--private-key", type=Path, help="its private key (PEM)")
    out.add_argument(
        "--state-dir", type=Path, default=Path("state"), help="order keys live here (default: %(default)s)"
    )
    out.add_argument(
        "--fastest-ms", type=float, default=10.0, help="pause between polls when busy (default: %(default)s)"
    )
    out.add_argument(
        "--slowest-ms", type=float, default=50.0, help="pause between polls when quiet (default: %(default)s)"
    )
    out.add_argument(
        "--terminal",
        default="MetaTrader5",
        help="module of the terminal, or module:factory of a stand-in such as the sandbox's (default: %(default)s)",
    )
    out.add_argument("--bundle", type=Path, metavar="FILE.pyz", help="write this gateway as one runnable file and end")
    return out


def options(args: argparse.Namespace, env: Mapping[str, str]) -> GatewayOptions:
    """Options from the command line and the environment."""
    login = {"path": args.path, "login": args.login, "server": args.server, "portable": args.portable or None}
    password = env.get("PEPPERSTONE_MT5_PASSWORD")
    if args.login is not None and password:
        login["password"] = password
    return GatewayOptions(
        host=args.host,
        port=args.port,
        terminal=args.terminal,
        login={name: value for name, value in login.items() if value is not None},
        token=env.get("PEPPERSTONE_MT5_GATEWAY_TOKEN", ""),
        read_token=env.get("PEPPERSTONE_MT5_GATEWAY_READ_TOKEN", ""),
        certificate=args.certificate,
        private_key=args.private_key,
        state_dir=args.state_dir,
        fastest_s=args.fastest_ms / 1000,
        slowest_s=args.slowest_ms / 1000,
    )


def bundle(target: Path) -> None:
    """Write the gateway as one zip application; Python with msgpack and numpy (and MetaTrader5) runs it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "app"
        copytree(
            PACKAGE / "mt5" / "gateway",
            root / "pepperstone_adapter" / "mt5" / "gateway",
            ignore=ignore_patterns("__pycache__"),
        )
        for name in ("__init__.py", "mt5/__init__.py", "common/__init__.py", *SHARED):
            file = root / PACKAGE.name / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes((PACKAGE / name).read_bytes())
        zipapp.create_archive(root, target, main="pepperstone_adapter.mt5.gateway.__main__:entry", compressed=True)


async def serve(gateway_options: GatewayOptions) -> None:
    """Run until SIGINT or SIGTERM."""
    supervisor = Supervisor(gateway_options)
    await supervisor.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows' loops take no handlers; Ctrl-C raises there
            loop.add_signal_handler(number, stop.set)
    logging.info("MetaTrader 5 gateway listens on %s:%d", gateway_options.host, supervisor.port)
    try:
        await stop.wait()
    finally:
        await supervisor.close()


def main(argv: Sequence[str] | None = None) -> int:
    """The process; returns its exit code (2: unsafe or wrong options)."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if args.bundle:
        bundle(args.bundle)
        sys.stdout.write(f"wrote {args.bundle}; beside the terminal: python {args.bundle.name} --login ACCOUNT\n")
        return 0
    try:
        asyncio.run(serve(options(args, os.environ)))
    except BadOptions as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except (OSError, OverflowError) as error:  # OverflowError: a port that is none
        sys.stderr.write(f"error: cannot serve on {args.host}:{args.port}: {getattr(error, 'strerror', '') or error}\n")
        return 5
    except KeyboardInterrupt:  # Windows: how Ctrl-C stops it there
        return 0
    return 0


def entry() -> None:
    sys.exit(main())


if __name__ == "__main__":
    entry()
