"""The cTrader client: everything that knows the wire, and nothing of the framework.

* `codec`: bytes to messages and back. `protocol`: one link as a sans-I/O core (ids, deadlines, heartbeats, pacing).
* `hub`: a link with its accounts, application authorisation and reconnection. `account`: one account in the network
  thread: authorise, hold, reconcile, release; `book`: what is known about its orders, positions and deals.
* `parsing`, `symbols`, `bars`, `ticks`: payloads to `broker` structs. `requests`: `broker` structs to payloads.
* `errors`: one table from wire codes to error classes. `limits`: what the venue allows a minute and a second.
* `tokens`, `stores`, `oauth`: credentials.
* `session`: `BrokerSession` on the node's loop.
"""
