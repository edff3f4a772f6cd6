"""A text that must never be shown: every way of printing, storing or copying it by accident gives a placeholder."""

import hmac
from typing import NoReturn, final

PLACEHOLDER = "**********"


@final
class Secret:
    """Holds a secret text; only `reveal` gives it back.

    `repr`, `str`, `format` and f-strings print a placeholder; pickling, copying into JSON and hashing are refused;
    comparison takes constant time and works between secrets only.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            # The value is not named: it may be the secret in the wrong type.
            raise TypeError(f"a secret is text, not {type(text).__name__}")
        self._text = text

    def reveal(self) -> str:
        """Return the text, for the one place that sends or stores it."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({PLACEHOLDER})"

    def __str__(self) -> str:
        return PLACEHOLDER

    def __format__(self, spec: str) -> str:
        return format(PLACEHOLDER, spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __len__(self) -> NoReturn:
        raise TypeError("the length of a secret is part of it")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")
