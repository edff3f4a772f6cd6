"""The process beside the terminal (design D5).

A *supervisor* owns the socket, the order keys and the ring buffer of events and never imports MetaTrader5. One *worker*
process holds the module, because the module keeps the GIL during a call and has no timeouts: only another process can
end a hang. The worker polls locally and pushes batched frames; the supervisor kills and replaces it when a call passes
its deadline.

Needs nothing but the standard library, msgpack, numpy and (in the worker) MetaTrader5, so that it also runs from a
single file under Wine: ``pepperstone mt5-gateway --bundle gateway.pyz``.
"""
