"""Jobs that are killed at random moments lose and double nothing, and repeat no more than a flush window."""

from pathlib import Path

import pytest
from kill_harness import kill_often
from kill_job import MOST_UNFLUSHED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_KILLS = 40


def test_kill_9_at_forty_random_moments(tmp_path: Path, seed: int) -> None:
    *_, toll = kill_often(tmp_path, seed, _KILLS)
    assert len(toll.kills) == _KILLS
    assert (toll.lost, toll.doubled) == (0, 0)
    assert toll.flushed_work_repeated == 0
    assert toll.unclean == []
    assert all(kill.recomputed <= kill.unflushed <= MOST_UNFLUSHED for kill in toll.kills)
    assert any(kill.unflushed for kill in toll.kills)
    phases = {phase for kill in toll.kills for phase in kill.phases}
    assert {"commit", "compaction"} <= phases
