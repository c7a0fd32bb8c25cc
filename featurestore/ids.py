"""Identity: canonical JSON, digests, and the two kinds of id.

An *external id* is the string that users know an item or user by. A *row* is its position in an id map
of the store; id maps only grow, so a row never means another entity.
"""

import json
import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from blake3 import blake3

ExternalId: TypeAlias = str
RowArray: TypeAlias = npt.NDArray[np.int64]
"""Rows of an id map, shape (n,), int64."""

DIGEST_LENGTH = 32
"""Characters of a digest: 128 bits in hexadecimal."""


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no white space, NFC strings, no NaN.

    Raises:
        ValueError: If the value holds NaN or an infinity.
        TypeError: If the value holds something JSON cannot express.
    """
    return json.dumps(
        _normalised(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: object) -> str:
    """128-bit blake3 of the canonical JSON of ``value``, as 32 hexadecimal characters."""
    return blake3(canonical_json(value).encode()).hexdigest()[:DIGEST_LENGTH]


def digest_bytes(data: bytes) -> str:
    """128-bit blake3 of raw bytes, as 32 hexadecimal characters."""
    return blake3(data).hexdigest()[:DIGEST_LENGTH]


def digest_texts(texts: Iterable[str]) -> str:
    """Digest of a sequence of strings, in order, without building one JSON text of them."""
    hasher = blake3()
    for text in texts:
        encoded = unicodedata.normalize("NFC", text).encode()
        hasher.update(len(encoded).to_bytes(8, "little"))
        hasher.update(encoded)
    return hasher.hexdigest()[:DIGEST_LENGTH]


def fingerprint(fields: Mapping[str, Any]) -> str:
    """Digest of exactly the fields a prompt reads; an absent field and a null one are the same."""
    return digest({name: value for name, value in fields.items() if value is not None})


def _normalised(value: object) -> object:
    match value:
        case str():
            return unicodedata.normalize("NFC", value)
        case bool() | int() | None:
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError(f"canonical JSON holds finite numbers only, got {value!r}")
            return value
        case Mapping():
            return {unicodedata.normalize("NFC", str(k)): _normalised(v) for k, v in value.items()}
        case list() | tuple():
            return [_normalised(v) for v in value]
        case _:
            raise TypeError(f"canonical JSON cannot express {type(value).__name__}: {value!r}")
