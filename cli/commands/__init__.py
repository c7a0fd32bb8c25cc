"""One file per command. A command's file imports nothing heavy before it runs."""

from collections.abc import Callable
from typing import Any

import typer

from cli.commands.compare import compare
from cli.commands.diff import diff
from cli.commands.doctor import doctor
from cli.commands.embed import embed
from cli.commands.evaluate import evaluate
from cli.commands.export import export
from cli.commands.forget import forget
from cli.commands.gates import group as gates
from cli.commands.gc import gc
from cli.commands.generate import generate
from cli.commands.graph import graph
from cli.commands.import_ import import_
from cli.commands.ingest import ingest
from cli.commands.init import init
from cli.commands.leaderboard import leaderboard
from cli.commands.leaks import leaks
from cli.commands.ls import ls
from cli.commands.migrate import migrate
from cli.commands.models import models
from cli.commands.plan import plan
from cli.commands.promote import promote
from cli.commands.prompts import group as prompts
from cli.commands.publish import publish
from cli.commands.recommend import recommend
from cli.commands.redteam import redteam
from cli.commands.refresh import refresh
from cli.commands.releases import group as releases
from cli.commands.replay import replay
from cli.commands.rollback import rollback
from cli.commands.runs import group as runs
from cli.commands.search import search
from cli.commands.semantic_ids import semantic_ids
from cli.commands.show import show
from cli.commands.train import train
from cli.commands.train_generative import train_generative
from cli.commands.tune import group as tune
from cli.commands.vectors import vectors
from cli.commands.verify import verify

COMMANDS: dict[str, Callable[..., Any]] = {
    "compare": compare,
    "diff": diff,
    "doctor": doctor,
    "embed": embed,
    "evaluate": evaluate,
    "export": export,
    "forget": forget,
    "gc": gc,
    "generate": generate,
    "graph": graph,
    "import": import_,
    "ingest": ingest,
    "init": init,
    "leaderboard": leaderboard,
    "leaks": leaks,
    "ls": ls,
    "migrate": migrate,
    "models": models,
    "plan": plan,
    "promote": promote,
    "publish": publish,
    "recommend": recommend,
    "redteam": redteam,
    "refresh": refresh,
    "replay": replay,
    "rollback": rollback,
    "search": search,
    "semantic-ids": semantic_ids,
    "show": show,
    "train": train,
    "train-generative": train_generative,
    "vectors": vectors,
    "verify": verify,
}
GROUPS: dict[str, typer.Typer] = {
    "gates": gates,
    "prompts": prompts,
    "releases": releases,
    "runs": runs,
    "tune": tune,
}
