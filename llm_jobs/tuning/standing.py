"""Where a model stands between its task and what it could before: measured on what is held out."""

from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass as checked

from featurestore.progress import Progress, no_progress
from llm_jobs.prompt import Prompt
from llm_jobs.tuning.answer_loss import mean_loss
from llm_jobs.tuning.answer_quality import AnswerQuality, judge_answers, write_answers
from llm_jobs.tuning.chains_config import ChainsConfig
from llm_jobs.tuning.kept import keep, read_kept
from llm_jobs.tuning.mixture import Mixture
from llm_jobs.tuning.writer import AdaptedWriter, Writer


@checked(frozen=True)
class Standing:
    """What a model does with held-out chains and general texts.

    Attributes:
        answers: What its own answers to questions of chains are worth.
        chain_loss: Loss of the teacher's answers to them.
        num_chains: Of so many.
        general_loss: Loss of general answers; None without general instructions.
        num_general: Of so many.
    """

    answers: AnswerQuality
    chain_loss: float
    num_chains: int
    general_loss: float | None
    num_general: int


def measure_standing(
    writer: Writer,
    model: AdaptedWriter,
    prompt: Prompt,
    mixture: Mixture,
    config: ChainsConfig,
    *,
    progress: Progress = no_progress,
) -> Standing:
    """Measure a model as it is now.

    Args:
        writer: Tokenises.
        model: Its network, adapted.
        prompt: That asked the chains.
        mixture: Holds what is judged on.
        config: How much of that.
        progress: Told about answers.
    """
    asked = [example for example, _ in mixture.held_chains[: config.judged_answers]]
    texts = write_answers(writer, model, asked, progress=progress)
    chains = [tokens for _, tokens in mixture.held_chains]
    size = config.batch_size
    general = mixture.held_general
    return Standing(
        answers=judge_answers(prompt, asked, texts),
        chain_loss=mean_loss(model, chains, batch_size=size),
        num_chains=len(chains),
        general_loss=mean_loss(model, general, batch_size=size) if general else None,
        num_general=len(general),
    )


def kept_standing(file: Path, measure: Callable[[], Standing]) -> Standing:
    """What a file keeps; else it is measured, and kept there.

    Raises:
        StorageFullError: If there is no room.
    """
    form = TypeAdapter(Standing)
    standing = read_kept(form, file)
    if standing is None:
        standing = measure()
        keep(form, file, standing)
    return standing
