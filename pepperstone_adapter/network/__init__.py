"""Floor 1: the network thread. Twisted lives in this package only.

* `frames`: length-prefixed frames from bytes, sans I/O.
* `tls`: endpoints that verify the certificate chain and the host name; there is no switch to turn that off.
* `link`: one link that connects, pumps a sans-I/O core, and reconnects.
* `thread`: the one reactor thread of a process; calls into it return futures.
* `mailbox`: batches out of it, onto an asyncio loop.
* `promises`: the awaitable results that code inside the thread uses.
"""
