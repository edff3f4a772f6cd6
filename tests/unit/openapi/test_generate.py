"""What is committed is what the `.proto` files say."""

from pathlib import Path

from pepperstone_adapter.openapi import generate


def test_descriptor_and_stub_are_up_to_date() -> None:
    descriptor = generate.compile_descriptor()
    home = Path(generate.__file__).parent
    assert (home / "descriptor.bin").read_bytes() == descriptor
    assert (home / "messages.pyi").read_text(encoding="utf-8") == generate.render_stub(descriptor)
