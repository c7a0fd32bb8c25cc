"""What scripts do with errors, stops and pages."""

from argparse import ArgumentTypeError

import pytest

from featurestore.errors import InputError
from scripts.study.command_line import add_data_option, exit_code, new_parser, positive, put_out
from scripts.study.datasets import ROOT


def fail(error: BaseException) -> None:
    raise error


def test_errors_of_ours_are_said_and_others_are_not_hidden(capsys):
    assert exit_code(lambda: None) == 0
    assert exit_code(lambda: 3) == 3
    assert exit_code(lambda: fail(InputError("no file.", hint="Name one."))) == 1
    assert capsys.readouterr().err == "error: no file.\n  Name one.\n"
    assert exit_code(lambda: fail(KeyboardInterrupt())) == 130
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: fail(ZeroDivisionError()))


def test_data_lie_beside_the_checkout_unless_said_otherwise(monkeypatch):
    parser = new_parser("A script.")
    monkeypatch.delenv("FEATURESTORE_DATA", raising=False)
    add_data_option(parser)
    assert parser.parse_args([]).data == ROOT.parent / "shared" / "data"
    assert str(parser.parse_args(["--data", "x"]).data) == "x"


def test_a_page_is_printed_or_written(capsys, tmp_path):
    put_out("page\n", None)
    assert capsys.readouterr().out == "page\n"
    put_out("page\n", tmp_path / "new" / "page.md")
    assert (tmp_path / "new" / "page.md").read_text(encoding="utf-8") == "page\n"


@pytest.mark.parametrize("text", ["0", "-1", "many", ""])
def test_a_count_is_a_whole_number_above_0(text):
    assert positive("3") == 3
    with pytest.raises(ArgumentTypeError, match="is no whole number above 0"):
        positive(text)
