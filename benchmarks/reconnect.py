"""A link that is cut a thousand times: what stays behind, and whether it gets slower.

Prints one JSON line. The sandbox resets the connection; the session connects, verifies, signs in, reads the account,
subscribes again and opens its gate; then the next cut. Quotes of two symbols, depth and bars are subscribed all along.
Counted before and after: threads and file descriptors of the client, connections and subscriptions at the server,
requests remembered, and resident memory.

`extra_*` must be 0. The reference is the same run's beginning: `ratio` is the median time of the last tenth of the
reconnects over that of the first.
"""

import argparse
import asyncio
import gc
import json
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
from live_path import LOGIN, SYMBOL, rss_mib, server

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import LinkUp
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.common.backoff import Backoff
from pepperstone_adapter.common.clock import SystemClock
from pepperstone_adapter.ctrader.client.account import Account
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.hub import Hub
from pepperstone_adapter.ctrader.client.tokens import TokenKeeper
from pepperstone_adapter.ctrader.factories import load_credentials
from pepperstone_adapter.network.link import Link
from pepperstone_adapter.network.mailbox import Mailbox
from pepperstone_adapter.network.promises import in_pool, spawn
from pepperstone_adapter.network.thread import NetworkThread
from pepperstone_adapter.network.tls import Endpoint

AT_ONCE = Backoff(initial_s=0.001, factor=1.0, max_s=0.001, jitter=0.0)
WARM_UP = 10


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


async def run(started, reconnects: int) -> dict:
    network = NetworkThread.shared()
    clock = SystemClock()
    store, credentials = load_credentials(Environment.SANDBOX, "default")
    endpoint = Endpoint(host="localhost", port=started.port, ca_file=started.ca_file)
    wanted = Wanted(account_number=str(LOGIN), environment=Environment.SANDBOX)
    up = asyncio.Event()
    mailbox = Mailbox(
        asyncio.get_running_loop(), lambda events: up.set() if any(isinstance(e, LinkUp) for e in events) else None
    )

    def join() -> Account:
        reactor = network.reactor
        hub = Hub(
            credentials.application, reactor, clock,
            lambda core: Link(reactor, endpoint, core, backoff=AT_ONCE), partial(in_pool, reactor),
        )  # fmt: skip
        account = Account(hub, wanted, TokenKeeper(store, credentials, clock.now_ns, hub.blocking), mailbox.post)
        hub.join(account)
        return account

    async def in_network(work):
        return await asyncio.wrap_future(network.run(work))

    account = await in_network(join)
    await asyncio.wait_for(up.wait(), 20)
    for ask in (
        lambda: account.feed.quotes([SYMBOL, "GBPUSD"]),
        lambda: account.feed.depth(SYMBOL),
        lambda: account.feed.bars(SYMBOL, BarPeriod.M1),
    ):
        await in_network(lambda ask=ask: spawn(ask()))

    async def state() -> dict:
        gc.collect()
        kept = await in_network(lambda: len(account.hub.protocol._requests))
        at_server = await started.ask("count")
        return {"threads": threading.active_count(), "descriptors": descriptors(), "requests": kept, **at_server}

    before: dict = {}
    times = []
    memory = 0.0
    for n in range(WARM_UP + reconnects):
        if n == WARM_UP:
            before, memory = await state(), rss_mib()
        up.clear()
        began = time.perf_counter()
        await started.ask("cut")
        await asyncio.wait_for(up.wait(), 30)
        times.append(time.perf_counter() - began)
    after = await state()
    grown = rss_mib() - memory
    await in_network(lambda: (account.close(), account.hub.link.stop())[1])
    tenth = max(1, reconnects // 10)
    kept = np.array(times[WARM_UP:]) * 1000
    # Requests are remembered for `Timings.remember_s`, so that a late answer meets its own: a bounded number.
    per_reconnect = after.pop("requests") - before.pop("requests")
    return {
        "benchmark": "reconnect", "reconnects": reconnects,
        **{f"extra_{name}": after[name] - before[name] for name in before},
        "remembered_requests": per_reconnect, "memory_grown_mib": round(grown, 1),
        "p50_ms": round(float(np.median(kept)), 1), "p99_ms": round(float(np.percentile(kept, 99)), 1),
        "ratio": round(float(np.median(kept[-tenth:]) / np.median(kept[:tenth])), 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reconnects", type=int, default=1_000)
    args = parser.parse_args()
    with server() as started:
        print(json.dumps(asyncio.run(run(started, args.reconnects))))


if __name__ == "__main__":
    main()
