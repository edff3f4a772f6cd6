"""An output that ends: the failure is the output's by name, and is told once."""

import contextlib
import io
import os
from pathlib import Path

import pytest

from pepperstone_adapter.common.output import NAME, Output, tell


def test_what_works_goes_through_and_an_empty_text_asks_nothing() -> None:
    under = io.StringIO()
    output = Output(under)
    assert output.write("line\n") == 5
    assert output.write("") == 0
    output.flush()
    assert under.getvalue() == "line\n"
    assert output.closed is under.closed
    with pytest.raises(TypeError):
        output.write(b"")  # type: ignore[arg-type]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_named_once_and_then_written_to_nowhere() -> None:
    with Path("/dev/full").open("w") as full:
        output = Output(full)
        output.write("kept back by the buffer")
        with pytest.raises(OSError, match="No space left on device") as caught:
            output.flush()
        assert caught.value.filename == NAME
        output.write("more")
        output.flush()


def test_a_line_for_a_person_never_raises() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as unread, contextlib.redirect_stderr(unread):
        tell("nobody reads this")
        tell("nor this")
