"""Run a configuration with its progress shown, then show what came of it: shared by `run` and `demo`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpgen.cli.output import Output
from dpgen.cli.score_tables import run_scores_table
from dpgen.cli.tables import facts_table, finding_table, plan_table
from dpgen.config import Config
from dpgen.distributed import joined
from dpgen.pipeline import execute, prepare
from dpgen.pipeline.folder import RunFolder
from dpgen.plugins.registry import default_registry
from dpgen.record import RunRecord
from dpgen.report import SAMPLES, read_findings, upper_bound
from dpgen.report.scores import score_lines


def run_and_show(configured: Callable[[], Config], output: Output, *, resume: bool, origin: str) -> None:
    """Plan, say the price, run, and print the guarantee, the scores and where everything lies.

    `origin` names the configuration in errors.
    Of several processes that torchrun started together the first one speaks.
    """
    with joined() as world:
        output = output if world.is_first else Output(silent=True)
        registry = default_registry()
        prepared = world.attempt(lambda: prepare(configured(), registry, origin=origin))
        folder = RunFolder(prepared.config.run.folder)
        again = folder.finished and resume
        if not again:
            output.note_table(plan_table(prepared))
        with output.progress(prepared.cumulative) as progress:
            record = execute(prepared, registry=registry, progress=progress, resume=resume, world=world)
        if again:  # said only now: other settings are refused first
            output.note(f"The run in {folder.root} is finished; nothing is left to do.")
    if world.is_first:  # the folder may be on its machine alone
        _show(record, folder, output)


def _show(record: RunRecord, folder: RunFolder, output: Output) -> None:
    scores = _scores(folder)
    findings = [finding for finding in read_findings(folder.release) if finding.rows]
    data = {"record": record.to_json(), "folder": str(folder.root), "scores_not_released": scores}
    shown = [finding_table(finding) for finding in findings]
    shown += [run_scores_table(score_lines(scores))] if scores else []
    output.result(data, *shown, facts_table(_facts(record, folder)))


def _facts(record: RunRecord, folder: RunFolder) -> dict[str, object]:
    guarantee = record.guarantee
    facts: dict[str, object] = {
        "guarantee": f"epsilon={upper_bound(guarantee.epsilon_upper)}, delta={upper_bound(guarantee.delta)}, "
        f"{guarantee.relation}, {guarantee.accountant} ({guarantee.kind})"
    }
    if not record.private:
        facts["NOT PRIVATE"] = "a test double drew the noise"
    if record.group is not None:
        group = record.group
        facts[f"for {group['size']} images of one person"] = (
            f"epsilon={upper_bound(group['epsilon'])}, delta={upper_bound(group['delta'])}"
        )
    return facts | {
        "picture": folder.release / SAMPLES,
        "release (may be given away)": folder.release,
        "report with scores (keep it)": folder.report,
    }


def _scores(folder: RunFolder) -> list[dict[str, Any]]:
    path: Path = folder.scores
    return list(json.loads(path.read_bytes())["scores"]) if path.exists() else []
