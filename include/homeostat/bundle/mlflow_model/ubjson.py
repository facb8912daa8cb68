"""Universal Binary JSON as XGBoost writes it, read into Python values.

XGBoost's own reader follows a model's indices unchecked. So the values are read here, and are checked and
handed to XGBoost as JSON. There is no maintained library for Python that reads typed arrays of numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_MAX_DEPTH = 64
_INTEGERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8"}
_NUMBERS = {**_INTEGERS, b"d": ">f4", b"D": ">f8"}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}


def read_ubjson(data: bytes) -> Any:
    """Return the value that ``data`` holds: dict, list, str, int, float, bool or None.

    Numbers of 32 bits become the float with the same shortest digits, so that JSON keeps them.

    Raises
    ------
    ValueError
        Cut short, nested too deep, or not in this format.
    """
    reader = _Reader(data)
    found = reader.value(0)
    if reader.at != len(data):
        raise ValueError("bytes behind the end")
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def value(self, depth: int, kind: bytes = b"") -> Any:
        kind = kind or self._take(1)
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deep")
        if kind in _NUMBERS:
            return self._numbers(kind, 1)[0]
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind == b"S":
            return self._text()
        if kind == b"[":
            return self._array(depth)
        if kind == b"{":
            return self._object(depth)
        msg = f"an unknown kind of value at byte {self.at}"
        raise ValueError(msg)

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._peek() != b"}":
            name = self._text()
            found[name] = self.value(depth + 1)
        self._take(1)
        return found

    def _array(self, depth: int) -> list[Any]:
        kind = b""
        if self._peek() == b"$":
            self._take(1)
            kind = self._take(1)
            if kind not in _NUMBERS:
                raise ValueError("a typed array that is not of numbers")
        if self._peek() != b"#":
            found = []
            while self._peek() != b"]":
                found.append(self.value(depth + 1))
            self._take(1)
            return found
        self._take(1)
        count = self._length()
        return self._numbers(kind, count) if kind else [self.value(depth + 1) for _ in range(count)]

    def _numbers(self, kind: bytes, count: int) -> list[Any]:
        code = np.dtype(_NUMBERS[kind])
        found = np.frombuffer(self._take(count * code.itemsize), code)
        if kind == b"d":
            return [float(text) for text in found.astype(np.float32).astype(str)]
        listed: list[Any] = found.tolist()
        return listed

    def _text(self) -> str:
        return self._take(self._length()).decode()

    def _length(self) -> int:
        kind = self._take(1)
        if kind not in _INTEGERS:
            raise ValueError("a length that is no whole number")
        length = int(self._numbers(kind, 1)[0])
        if not 0 <= length <= len(self.data):
            raise ValueError("a length beyond the end")
        return length

    def _peek(self) -> bytes:
        return self.data[self.at : self.at + 1]

    def _take(self, size: int) -> bytes:
        found = self.data[self.at : self.at + size]
        if len(found) != size:
            raise ValueError("cut short")
        self.at += size
        return found
