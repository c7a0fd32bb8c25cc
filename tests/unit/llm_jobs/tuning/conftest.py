"""Tests of tuning need peft, and tiny base models that are written once."""

from collections.abc import Mapping

import pytest
from tuning_world import decoder_entry, encoder_entry

from llm_jobs.entries import EncoderEntry


@pytest.fixture(autouse=True)
def _needs_peft() -> None:
    pytest.importorskip("peft")


@pytest.fixture(scope="session")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, EncoderEntry]:
    """Entries of a tiny decoder and a tiny encoder, by these names."""
    folder = tmp_path_factory.mktemp("bases")
    return {"decoder": decoder_entry(folder / "decoder"), "encoder": encoder_entry(folder / "encoder")}


@pytest.fixture
def decoder(entries: Mapping[str, EncoderEntry]) -> EncoderEntry:
    """A decoder that is pooled at its last token."""
    return entries["decoder"]


@pytest.fixture
def encoder(entries: Mapping[str, EncoderEntry]) -> EncoderEntry:
    """An encoder that is pooled by its mean."""
    return entries["encoder"]


@pytest.fixture(params=["decoder", "encoder"])
def entry(request: pytest.FixtureRequest, entries: Mapping[str, EncoderEntry]) -> EncoderEntry:
    """The one, then the other."""
    return entries[request.param]
