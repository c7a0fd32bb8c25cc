"""Every error the product raises, and the exit code each one ends a command with.

    FeatureStoreError                1   something we did not foresee
    ├── UsageError                   2   an option, a name or a config key is wrong
    │   ├── ConfigError
    │   └── UnknownNameError             lists the known names
    ├── InputError                   3   the data given cannot be used
    │   └── RowContractError             a required column is absent or of the wrong kind
    ├── SetupError                   4   a missing extra, model, GPU or path, or too little memory or disk
    ├── GateFailedError              5   a release was refused; or too many attacks succeeded
    ├── LockHeldError                6   another job works on the same feature
    ├── StoreError                   7   the store is damaged, or holds no such thing
    │   ├── MissingVersionError
    │   ├── DamagedFileError             a manifest, or a move of an alias, cannot be read
    │   ├── ServiceError                 the service that holds it is busy or does not answer
    │   ├── OldStoreError                it must be migrated before it is written
    │   ├── MissingIdsError              names the ids
    │   └── EmbeddingSpaceError          vectors of two encoders would be mixed
    ├── LeakError                    8   text that read held-out events would reach a model
    ├── SkipBudgetError              9   too many rows failed
    ├── StorageFullError            10   no space left; what was flushed is kept
    ├── PlanTooExpensiveError       11   a plan exceeds the cost or the tokens allowed; nothing was asked
    ├── ShardsFailedError           12   some shards of a spread run failed; the others are stored
    ├── ReplayDiffersError          13   a row that was asked for again came out different
    ├── StoreDamagedError           14   verification found files that are not what was published
    └── NewerStoreError             15   a newer version of this product made the store

An interrupted command ends with 130 (Ctrl-C) or 143 (SIGTERM).
Each error says what was found and what was expected in ``message`` and what to do in ``hint``.
"""

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import ClassVar


class FeatureStoreError(Exception):
    """Base of all errors of this product.

    Args:
        message: What was found, and what was expected.
        hint: What the reader can do about it; empty if the message says it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(FeatureStoreError):
    """An option, a name or a configuration value is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """``featurestore.toml`` cannot be used as it stands."""


class UnknownNameError(UsageError):
    """A name stands for nothing known; the known names are listed.

    Args:
        kind: What the name should be, such as ``"prompt"``.
        name: The name that was given.
        known: All names of that kind.
    """

    def __init__(self, kind: str, name: str, known: Collection[str], *, hint: str = "") -> None:
        near = nearest_name(name, known)
        guess = f" Did you mean {near!r}?" if near else ""
        listed = ", ".join(sorted(known)) or "none"
        super().__init__(f"unknown {kind} {name!r}.{guess} Known: {listed}.", hint=hint)
        self.kind = kind
        self.name = name
        self.known = tuple(sorted(known))


class InputError(FeatureStoreError):
    """Data that was given cannot be read or used."""

    exit_code = 3


class RowContractError(InputError):
    """A table lacks a required column, or a column has the wrong type."""


class SetupError(FeatureStoreError):
    """Something this machine lacks: an extra, a model, memory, disk, a GPU, or the right to use a path."""

    exit_code = 4


def missing_extra(module: str, extra: str) -> SetupError:
    """The error for an optional dependency that is not installed, with its exact install line."""
    return SetupError(
        f"this needs the Python package {module!r}, which is not installed.",
        hint=f"Install it with: pip install 'cot-featurestore[{extra}]'",
    )


class GateFailedError(FeatureStoreError):
    """A gate refused a release, no alias was moved; or an attack run exceeded the bound that it was given."""

    exit_code = 5


class LockHeldError(FeatureStoreError):
    """Another job holds the lock of the same feature."""

    exit_code = 6


class StoreError(FeatureStoreError):
    """The store is damaged, of another generation, or lacks what was asked for."""

    exit_code = 7


class MissingVersionError(StoreError):
    """A table, feature, release or alias does not exist in this store."""


class DamagedFileError(StoreError):
    """A manifest, or a move of an alias, is not one; the message names the file."""


class ServiceError(StoreError):
    """The service that holds the store is busy or does not answer. Nothing is damaged; a later try may do."""


class OldStoreError(StoreError):
    """The store has an older format, which this version reads but does not write."""


class MissingIdsError(StoreError):
    """Ids that were asked for are not in the table.

    Args:
        table: What was read.
        ids: The ids that are absent, in request order.
    """

    def __init__(self, table: str, ids: Sequence[str]) -> None:
        shown = ", ".join(repr(i) for i in ids[:10])
        more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
        what = (
            f"the id {shown} is not in {table}"
            if len(ids) == 1
            else f"{len(ids)} ids are not in {table}: {shown}"
        )
        super().__init__(f"{what}{more}.")
        self.table = table
        self.ids = tuple(ids)


class EmbeddingSpaceError(StoreError):
    """Vectors made by different encoders would be mixed."""


class LeakError(FeatureStoreError):
    """A text or vector read events that the split holds out."""

    exit_code = 8


class SkipBudgetError(FeatureStoreError):
    """More rows failed than the skip budget allows; what succeeded is stored."""

    exit_code = 9


class StorageFullError(FeatureStoreError):
    """No space is left on the device; everything flushed before is kept."""

    exit_code = 10


class PlanTooExpensiveError(FeatureStoreError):
    """A plan exceeds the cost or the tokens that are allowed. No model was asked anything."""

    exit_code = 11


class ShardsFailedError(FeatureStoreError):
    """Shards of a run on many engines were given up; what the others wrote is stored."""

    exit_code = 12


class ReplayDiffersError(FeatureStoreError):
    """A row that was asked for again came out different; nothing was written."""

    exit_code = 13


class StoreDamagedError(FeatureStoreError):
    """Verification found damage; what is damaged, and of which release, is named."""

    exit_code = 14


class NewerStoreError(FeatureStoreError):
    """The store was made, or migrated, by a newer version of this product."""

    exit_code = 15


def own_words(message: str) -> str:
    """What a validator of ours said, without the words that pydantic puts before it."""
    return message.replace("Value error, ", "")


def nearest_name(name: str, known: Collection[str]) -> str | None:
    """The known name that looks most like ``name``, or None if none comes close."""
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=0.6)), None)
