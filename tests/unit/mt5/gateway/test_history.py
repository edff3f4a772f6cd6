from pepperstone_adapter.mt5.gateway.history import EventRing


def filled(count: int, max_bytes: int = 1000) -> EventRing:
    ring = EventRing("epoch", max_bytes)
    for n in range(1, count + 1):
        ring.next()
        ring.add(b"%08d" % n)
    return ring


def test_a_client_reads_on_after_its_last_frame() -> None:
    assert filled(5).after(["epoch", 3]) == [b"00000004", b"00000005"]
    assert filled(5).after(["epoch", 5]) == []


def test_out_of_range_or_another_life_means_a_fresh_snapshot() -> None:
    ring = filled(20, max_bytes=80)  # the last ten frames of eight bytes
    assert ring.after(["epoch", 9]) is None
    assert ring.after(["epoch", 10]) == [b"%08d" % n for n in range(11, 21)]
    for resume in (["other", 19], ["epoch", 21], ["epoch", -1], ["epoch", "1"], None, "epoch"):
        assert ring.after(resume) is None
