"""``vex demo``: the whole story on a sample memory.

Every command is run for real and its effect is checked, so that the demo also tells whether vex works here.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import click

from vexrepo.demo.agent import Agent, Question, read_script
from vexrepo.demo.stage import Failure, Stage, check, flipped_byte, inside

DATABASE = "agent.db"
HOME = "home"


@click.command(epilog="\b\nExamples:\n  vex demo\n  vex demo --keep sample     and play on in the folder sample")
@click.option("--keep", "folder", metavar="DIR", type=click.Path(), help="Do it in DIR, a new folder, and keep that.")
@click.option("--fast", is_flag=True, help="Do not pause for the reader.")
@click.pass_context
def demo(ctx: click.Context, folder: str | None, fast: bool) -> int:
    """Tell the whole story on a sample memory.

    An agent's memory is committed, the agent learns and forgets, a branch tries something, the live memory is rolled
    back, and a damaged byte is caught.  Takes about a minute.  Works offline, in a folder of its own: your settings,
    keys and memories are not touched.
    """
    root = ctx.find_root()
    stage = Stage(root.command, pausing=not fast and sys.stdout.isatty(), color=root.color)
    place = _make_folder(folder)
    done = False
    try:
        with inside(place, place / HOME):
            _tell(stage, place, kept=folder is not None)
        done = True
    except Failure as failure:
        click.echo(f"vex: the demo did not go as told: {failure}\n  it is kept for a look: {place}", err=True)
        return 1
    except BaseException:
        done = True  # interrupted, or the reader is gone: nothing to look at
        raise
    finally:
        if folder is None and done:
            shutil.rmtree(place, ignore_errors=True)
    return 0


def _make_folder(named: str | None) -> Path:
    if named is None:
        return Path(tempfile.mkdtemp(prefix="vex-demo-")).resolve()
    place = Path(named).resolve()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise click.BadParameter(f"{named} is in use; name a folder that is new or empty", param_hint="--keep")
    place.mkdir(parents=True, exist_ok=True)
    return place


def _tell(stage: Stage, place: Path, *, kept: bool) -> None:
    agent = Agent(place / DATABASE, read_script())
    agent.begin()
    stage.say(
        f"A story in six parts, in {place} ({'kept' if kept else 'removed at the end'}). Lines that begin with $ are "
        "commands you could type; what follows them is their real output."
    )
    _first_commit(stage, agent)
    _a_week(stage, agent)
    _one_memory(stage)
    settled = agent.contents()
    _experiment(stage, agent)
    _back(stage, agent)
    check(agent.contents() == settled, f"{DATABASE} to be row for row what it was before the experiment")
    _second_thoughts(stage)
    _damage(stage, place)
    _end(stage, place, kept=kept)


def _first_commit(stage: Stage, agent: Agent) -> None:
    stage.act("1. A memory to look after")
    script = agent.script
    stage.tell(
        f"{DATABASE} is what an assistant agent remembers: an SQLite database (VEKTOR) with {agent.count()} memories, "
        f"their 384-dim embeddings and {len(script.edges)} links between them. Make a repository for it, and commit."
    )
    stage.vex(f"vex init --store vektor:{DATABASE}")
    stage.vex('vex commit -m "What the agent knew in May"')
    check(
        stage.ask("vex log --json")["commits"][0]["statistics"]["records"] == len(script.initial), "all memories kept"
    )
    check(stage.ask("vex status --json")["clean"], "a clean status after the first commit")


def _a_week(stage: Stage, agent: Agent) -> None:
    stage.act("2. The agent works")
    script = agent.script
    agent.work()
    stage.tell(
        "A week passes. The agent inserts, updates and deletes rows with plain SQL; it knows nothing of vex. "
        "What is different?"
    )
    stage.vex("vex status")
    stage.vex("vex diff")
    found = stage.ask("vex diff --json")
    expected = {"learned": len(script.learned), "changed": len(script.changed), "forgotten": len(script.forgotten)}
    check({name: found[name] for name in expected} == expected, f"a difference of {expected}")
    touched = {record["id"] for record in script.learned + script.changed} | set(script.forgotten)
    check({change["id"] for change in found["changes"]} == touched, "exactly the touched memories in the difference")
    stage.tell(
        "Texts are compared by word, other values one by one; moved is how far an embedding went. Keep that, too."
    )
    stage.vex('vex commit -m "The first week of June"')
    check(stage.ask("vex status --json")["clean"], "a clean status after the second commit")
    stage.vex("vex log")


def _one_memory(stage: Stage) -> None:
    stage.act("3. One memory through time")
    stage.tell(
        "Why does the agent call now, when it used to write? The life of one memory, and how it was a commit ago:"
    )
    stage.vex("vex log --oneline -- mem_42b810")
    stage.vex("vex show HEAD~1:mem_42b810")


def _experiment(stage: Stage, agent: Agent) -> None:
    script = agent.script
    asked = script.question("allergy")
    stage.act("4. An experiment")
    _recall(stage, agent, asked)
    check("allerg" in agent.recall(asked)[1], "the allergy to be recalled")
    stage.tell("The agent wants a tidier memory. That is best tried on a branch.")
    stage.vex("vex switch -c experiment")
    agent.prune()
    stage.tell(f"It deletes {len(script.pruned)} details and writes {len(script.summaries)} summaries in their place.")
    stage.vex("vex diff --stat")
    found = stage.ask("vex diff --stat --json")
    wanted = (len(script.summaries), len(script.pruned))
    check((found["learned"], found["forgotten"]) == wanted, f"{wanted[0]} learned and {wanted[1]} forgotten")
    stage.vex('vex commit -m "Tidy up: summaries for details"')
    _recall(stage, agent, asked)
    check("nothing else to remember" in agent.recall(asked)[1], "the allergy to be lost in the experiment")
    stage.tell("The tidy memory has lost the one detail that can hurt. Good that this was a branch.")


def _back(stage: Stage, agent: Agent) -> None:
    asked = agent.script.question("allergy")
    stage.act("5. Back")
    stage.tell(f"Switching back writes the difference into the live {DATABASE}: rows, embeddings and links.")
    stage.vex("vex switch main")
    _recall(stage, agent, asked)
    check("allerg" in agent.recall(asked)[1], "the allergy to be recalled after switching back")
    stage.tell(f"{DATABASE} holds {agent.count()} memories again, row for row what they were.")


def _second_thoughts(stage: Stage) -> None:
    stage.vex("vex branch -d experiment")
    stage.tell("Deleted too soon? Whatever changed the repository can be taken back:")
    stage.vex("vex undo")
    stage.vex("vex branch")
    names = [each["name"] for each in stage.ask("vex branch --json")]
    check(names == ["experiment", "main"], "the deleted branch to be back")


def _damage(stage: Stage, place: Path) -> None:
    stage.act("6. Can it be trusted?")
    stage.tell("Commits are signed, and a commit's id covers every byte of every memory.")
    stage.vex("vex verify HEAD")
    packs = place.joinpath(".vex", "packs").glob("*.pack")
    pack = max(packs, key=lambda path: path.stat().st_size)
    before = pack.read_bytes()
    with flipped_byte(pack) as at:
        stage.tell(
            f"Now one byte of the repository changes, as on a bad disk: byte {at:,} of {len(before):,} in {pack.name}."
        )
        stage.vex("vex fsck", code=1)
        stage.vex("vex verify HEAD", code=1)
    check(pack.read_bytes() == before, "the byte to be put back")
    stage.tell("Caught by both. With the byte put back, all is well:")
    stage.vex("vex fsck")


def _recall(stage: Stage, agent: Agent, asked: Question) -> None:
    nearness, text = agent.recall(asked)
    stage.tell(f'"{asked.text}" The nearest memory in {DATABASE}, cosine {nearness:.2f}:')
    stage.quote(text)


def _end(stage: Stage, place: Path, *, kept: bool) -> None:
    stage.act("That was it")
    stage.say(
        "A live memory was committed, compared, branched, rolled back and proved intact; every step was checked as it "
        "ran. The agent needed no change, and nothing left this machine."
    )
    stage.say()
    if kept:
        stage.say("To play on here:")
        stage.quote(f"cd {shlex.quote(str(place))}")
        stage.quote(f"export VEX_HOME={shlex.quote(str(place / HOME))}     # the keys of the demo, not yours")
        stage.quote("vex switch experiment")
        stage.say()
    stage.say("On a memory of your own:")
    stage.quote("vex init --store vektor:PATH/TO/agent.db     # or memories.vmig.jsonl")
    stage.quote('vex commit -m "What my agent knows today"')
    if not kept:
        stage.say()
        stage.say("To play with this one: vex demo --fast --keep sample")
