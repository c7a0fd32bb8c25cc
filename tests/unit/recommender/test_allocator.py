"""Freed memory that stays with the process."""

import ctypes
import platform
import subprocess
import sys

import pytest

from recommender.training.allocator import keep_freed_memory

_TOUCH = """
import resource, torch
from recommender.training.allocator import keep_freed_memory
assert keep_freed_memory()
for _ in range(5): [torch.ones(1 << 20) for _ in range(8)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): [torch.ones(1 << 20) for _ in range(8)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_tensors_find_the_pages_of_those_before_them():
    """320 MB are taken and freed anew, and fewer pages are new than one of their 80 tensors has."""
    done = subprocess.run([sys.executable, "-c", _TOUCH], capture_output=True, check=True)
    assert int(done.stdout) < 1024


def test_a_library_that_cannot_be_told_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
