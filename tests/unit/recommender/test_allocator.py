"""Freed memory that stays with the process."""

import ctypes
import platform
import subprocess
import sys

import pytest

from recommender.allocator import keep_freed_memory

_TOUCH = """
import resource, torch
from recommender.allocator import keep_freed_memory
if {kept}: assert keep_freed_memory()
for _ in range(5): [torch.ones(1 << 20) for _ in range(8)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): [torch.ones(1 << 20) for _ in range(8)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_tensors_find_the_pages_of_those_before_them():
    kept, given_back = (
        int(
            subprocess.run(
                [sys.executable, "-c", _TOUCH.format(kept=kept)], capture_output=True, check=True
            ).stdout
        )
        for kept in (True, False)
    )
    assert given_back > 40 * 1000  # 4 MB are 1,024 pages
    assert kept < given_back / 5


def test_a_library_that_cannot_be_told_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
