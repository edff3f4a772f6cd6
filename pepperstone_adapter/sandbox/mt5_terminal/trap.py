"""Functions that can tell ``f(x)`` from ``f(x, **{})``.

Python code cannot: an empty keyword map vanishes before a Python function sees it. A C function gets NULL in the first
case and an empty map in the second, and the real module's `order_send` refuses the latter. So the stand-in's is a C
function too, made with ctypes.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final

_VARARGS_KEYWORDS: Final = 1 | 2
_Native = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)


class _MethodDef(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("call", _Native), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


_alive: list[Any] = []  # a C function borrows its definition: keep every one for good


def native(name: str, function: Callable[[tuple[Any, ...], dict[str, Any] | None], Any]) -> Any:
    """A C function; `function` gets the positional arguments and the keyword map, or None when there was none at all.

    A SystemError in `function` becomes NULL without an exception, which the interpreter reports as a SystemError.
    """

    def call(_self: int | None, args: tuple[Any, ...], keywords: int | None) -> int | None:
        try:
            result = function(args, None if keywords is None else ctypes.cast(keywords, ctypes.py_object).value)
        except SystemError:
            return None
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(result))
        return id(result)

    definition = _MethodDef(name.encode(), _Native(call), _VARARGS_KEYWORDS, None)
    _alive.append(definition)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return make(ctypes.addressof(definition), None, None)
