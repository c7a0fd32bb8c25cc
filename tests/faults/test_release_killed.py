"""Nightly jobs that are killed at any write leave the old release or the new one, whole, to every reader."""

from pathlib import Path

import pytest
from release_kills import kill_nights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_KILLS = 40


def test_readers_see_one_release_or_the_other_whatever_is_killed(tmp_path: Path, seed: int) -> None:
    *_, toll = kill_nights(tmp_path, seed, _KILLS)
    assert toll.num_kills == _KILLS
    assert toll.mixed == []
    assert toll.unclean == []
    assert toll.readings > 2 * _KILLS
    writes = {write for write, _ in toll.kills}
    assert len(writes) >= 12, "kills are spread over all kinds of writes"
