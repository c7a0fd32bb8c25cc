from pathlib import Path

import pytest

from recommender import models
from recommender.registry import find_model, model_names
from recommender.testing import CHECKS, IMPERSONAL, NEEDS_FEATURES, UNINFORMED


def test_every_file_of_the_folder_is_under_test():
    files = {path.stem for path in Path(models.__path__[0]).glob("*.py")} - {"__init__"}
    assert set(model_names()) == files
    assert files >= {"lightgcn", "popularity"}
    assert files >= IMPERSONAL | UNINFORMED | NEEDS_FEATURES


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", model_names())
def test_contract(name, check):
    check(find_model(name))
