import inspect

import pytest

from featurestore import errors
from featurestore.errors import FeatureStoreError, MissingIdsError, UnknownNameError, missing_extra


def error_classes() -> list[type[FeatureStoreError]]:
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, FeatureStoreError)]
    assert len(found) >= 15
    return found


@pytest.mark.parametrize("error", error_classes(), ids=lambda c: c.__name__)
def test_every_error_stands_in_the_tree_of_the_docstring(error):
    assert error.__name__ in (errors.__doc__ or "")


def test_families_of_errors_have_exit_codes_of_their_own():
    families = [c for c in error_classes() if FeatureStoreError in c.__bases__]
    codes = [c.exit_code for c in families]
    assert sorted(codes) == list(range(2, 2 + len(families)))


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    error = UnknownNameError("prompt", "item_cto", ["item_cot", "user_cot"])
    assert str(error) == "unknown prompt 'item_cto'. Did you mean 'item_cot'? Known: item_cot, user_cot."


def test_an_unknown_name_among_none_says_none():
    assert str(UnknownNameError("alias", "x", [])) == "unknown alias 'x'. Known: none."


def test_missing_ids_are_named_up_to_ten():
    text = str(MissingIdsError("text.a", [str(i) for i in range(12)]))
    assert "12 ids are not in text.a: '0', '1'" in text
    assert text.endswith("'9' and 2 more.")
    assert str(MissingIdsError("text.a", ["x"])) == "the id 'x' is not in text.a."


def test_a_missing_extra_gives_the_install_line():
    assert "pip install 'cot-featurestore[train]'" in str(missing_extra("torch", "train"))
