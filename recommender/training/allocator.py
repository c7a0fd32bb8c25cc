"""The C library's allocator, told to keep what a training step frees: the next one takes it again.

By default glibc hands blocks of 128 kB and more back to the system, which then clears their pages anew: up to
half of the time of a step on small graphs (docs/recommenders.md has the figures).
"""

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_TOP_PAD: Final = -2
_MMAP_THRESHOLD: Final = -3
_KEPT: Final = 1 << 30
_GROWN_BY: Final = 64 << 20


def keep_freed_memory() -> bool:
    """Keep freed memory in this process from now on; call it once, before training.

    Returns:
        Whether the C library can be told so: glibc can, others are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    told = [
        mallopt(*setting) == 1
        for setting in ((_MMAP_THRESHOLD, _KEPT), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _GROWN_BY))
    ]
    return all(told)
