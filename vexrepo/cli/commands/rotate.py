"""``vex key rotate``: a new key in the place of an old one, which vouches for it."""

from __future__ import annotations

import secrets
from dataclasses import replace

import click

from vexrepo.cli.options import OWN_KEY, as_json, example
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import iso, plain
from vexrepo.errors import Refused


@click.command("rotate", epilog=example("vex key rotate", "vex key rotate work --json"))
@click.argument("name", required=False, metavar="[NAME]", type=OWN_KEY)
@as_json
@pass_edge
def rotate(edge: Edge, name: str | None, as_json: bool) -> None:
    """Replace a key by a new one that it vouches for.

    The new key gets the name, the old one stays beside it under another and counts until now: commits it signed stay
    good, files it signed have to be signed again where they are still to be handed out.  Writes a statement, signed by
    both keys, with which others take the new key for yours (vex trust follow).  A passphrase stays what it was.

    A key that somebody else may have is not rotated but revoked: vex trust revoke.
    """
    from vexrepo.objects import rotation
    from vexrepo.objects.signature import KEY_BYTES, Verdict, public_key
    from vexrepo.objects.trust import KnownKey, SigningTime, judge
    from vexrepo.storage.keys import Identity, fingerprint

    name = name if name is not None else edge.config(edge.find())["user.identity"]
    keys = edge.keys()
    now_us = edge.now_us() // 1000 * 1000
    judged = judge(keys.look(name).key, SigningTime(now_us, now_us), (), (), edge.trusted())
    if judged.verdict is not Verdict.GOOD:
        raise Refused(
            f"{judged.why}; it cannot vouch for another: make one with vex key new, and tell others its digits",
            code="rotation-refused",
        )
    opened = keys.open(name)
    old = opened.identity
    seed = secrets.token_bytes(KEY_BYTES)
    new = Identity(name, public_key(seed), seed)
    taken = {*keys.names(), *(each.name for each in edge.trust().read())}
    base = f"{name[:80]}-until-{iso(now_us)[:10]}"
    retired = next(each for each in (base, *(f"{base}-{number}" for number in range(2, 1000))) if each not in taken)
    statement = rotation.make(old.seed, new.seed, old.key, new.key, now_us)
    keys.rotate(old, new, retired, statement.encode(), opened.passphrase)

    def end(known: KnownKey) -> KnownKey:
        ends = now_us if known.valid_until_us is None else min(known.valid_until_us, now_us)
        return replace(known, valid_until_us=ends)

    entry = KnownKey(retired, old.key, iso(now_us), note=f"followed by {new.key.hex()}")
    edge.trust().change(old.key.hex(), end, entry)
    path = keys.statement_path(name)
    if as_json:
        value = {"name": name, "key": new.key.hex(), "statement": str(path)}
        emit({**value, "old": {"name": retired, "key": old.key.hex(), "valid_until": iso(now_us)}})
        return
    say(f"identity {plain(name)} {fingerprint(new.key)} (new)  {quiet(new.key.hex())}")
    say(f"  the old key {fingerprint(old.key)} is kept as {plain(retired)}; it counts for what it signed until now")
    say(f"  give others {plain(str(path))}: vex trust follow takes the new key for yours")
    say("  files that the old key signed and that you still hand out: sign them again (vex sign FILE)")
