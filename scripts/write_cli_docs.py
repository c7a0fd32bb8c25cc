"""Write docs/cli.md from the commands themselves; `tests/docs` compares the two."""

from pathlib import Path
from typing import Any

import typer

from cli.main import app

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
_WIDTH = 100
_HEAD = """# Commands

Written by `make docs` from the commands' own help: do not edit it by hand.

Commands that report something take `--json`: then standard output holds one JSON object, and an error is the
object `{"error": {"type", "message", "hint", "exit_code"}}`. Messages and progress go to standard error.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | something that we did not foresee, or not confirmed |
| 2 | an option, a name or a configuration key is wrong |
| 3 | the data given cannot be used |
| 4 | this machine lacks an extra, a model, a GPU, memory or disk |
| 5 | a gate refused the release, the alias stands where it stood; or more attacks succeeded than allowed |
| 6 | another job works on the same feature |
| 7 | the store is damaged, or holds no such thing |
| 8 | text that read held-out events would have reached a model |
| 9 | too many rows failed; what succeeded is stored |
| 10 | no space left; what was flushed is kept |
| 11 | the plan exceeds the cost or the tokens allowed; no model was asked |
| 12 | some shards of a run on many engines failed; the others are stored |
| 13 | a row that was replayed came out different |
| 14 | verification found damage in the store |
| 15 | a newer version of this product made the store |
| 130 | interrupted with Ctrl-C; what was flushed is kept |
| 143 | terminated (SIGTERM); what was flushed is kept |
"""


def render() -> str:
    """The whole document."""
    root = typer.main.get_command(app)
    parts = [_HEAD, _section("featurestore", root, "##")]
    for name, command in sorted(_children(root).items()):
        parts.append(_section(f"featurestore {name}", command, "##"))
        parts += [
            _section(f"featurestore {name} {inner}", leaf, "###")
            for inner, leaf in sorted(_children(command).items())
        ]
    return "\n".join(parts)


def _children(command: Any) -> dict[str, Any]:  # noqa: ANN401 -- click's types are private to typer
    return getattr(command, "commands", {})


def _section(path: str, command: Any, level: str) -> str:  # noqa: ANN401 -- as above
    context = typer.Context(
        command,
        info_name=path,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        help_option_names=["-h", "--help"],
    )
    return f"{level} {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"


if __name__ == "__main__":
    DOCUMENT.write_text(render(), encoding="utf-8")
    print(f"wrote {DOCUMENT.name}: {render().count(chr(10))} lines")
