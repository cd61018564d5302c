"""The JSON Schema and the TypeScript types of a record: made from one table, and true to the golden files."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from filelock import FileLock

from vexrepo.formats import schema
from vexrepo.formats.validation import check_line, severity

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "interop" / "sign"
IN_CI = bool(os.environ.get("CI"))  # before the tests hide it
TYPESCRIPT = "5.9.3"

_spec = importlib.util.spec_from_file_location("make_schema", ROOT / "docs" / "dev" / "make_schema.py")
assert _spec is not None and _spec.loader is not None
make_schema = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_schema)

LENIENT = jsonschema.Draft202012Validator(schema.json_schema())
STRICT = jsonschema.Draft202012Validator({**schema.json_schema(), "$ref": "#/$defs/strict"})


@pytest.mark.parametrize("path", [path.relative_to(ROOT).as_posix() for path in make_schema.files()])
def test_the_generated_files_are_up_to_date(path):
    assert (ROOT / path).read_text("utf-8") == make_schema.files()[ROOT / path], (
        "run: python docs/dev/make_schema.py --write"
    )


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())
    described = json.dumps(schema.json_schema())
    for name in re.findall(r'"#/\$defs/(\w+)"', described):
        assert name in schema.json_schema()["$defs"]


def test_the_schema_and_validate_agree_on_the_golden_files():
    seen = 0
    for path in sorted(GOLDEN.glob("*.vmig.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            findings = check_line(line).findings
            try:
                value = json.loads(line.decode())
            except ValueError:
                continue
            for validator, strict in ((LENIENT, False), (STRICT, True)):
                errors = {each.code for each in findings if severity(each.code, strict=strict) == "error"}
                # What a schema cannot see: how a value was written, and two members that must agree.
                unseen = {"duplicate-member", "not-finite", "lone-surrogate", "dims-mismatch"}
                exact = any("which no double" in each.message for each in findings)
                if not errors & unseen and not exact:
                    assert validator.is_valid(value) == (not errors), (line[:80], errors)
                    seen += 1
    assert seen > 50


def test_every_member_is_described_in_both():
    types = (ROOT / "objects" / "vmig.d.ts").read_text("utf-8")
    for member in schema.MEMBERS:
        assert f"  {member.name}{'' if member.required else '?'}: " in types
        assert schema.json_schema()["properties"][member.name]["description"] == member.meaning


GOOD = """
import type { Json, Scalar, SparseVector, StrictVmigRecord, VmigRecord } from "./vmig";

const least: StrictVmigRecord = { id: "a", text: "tea at four", vex_version: "1.0.0" };
const full: StrictVmigRecord = {
  id: "a", text: null, vector: [0.5, 1], model: "m", dims: 2, namespace: null, metadata: { importance: 3, by: null },
  created_at: "2026-01-31", source_store: "vektor", modality: "text", score: 0.5, vex_version: "1.0.0", agent_id: "x",
};
const sparse: SparseVector = { indices: [1], values: [0.5] };
const lenient: VmigRecord[] = [
  least, full, { ...least, vector: [[1, 2], [3, 4]] }, { ...least, vector: sparse },
  { ...least, created_at: 1780525199 }, { ...least, vectors: { title: [1] } },
  { ...least, metadata: { tags: ["a"], deep: { deeper: [1, { deepest: true }] } } },
];
const extra: Json | undefined = lenient[0].anything;
const first: number | undefined = full.vector?.[0];
const value: Scalar | undefined = full.metadata?.importance;
"""
BAD = """
// @ts-expect-error the version is required
const a: VmigRecord = { id: "a", text: "x" };
// @ts-expect-error ids are strings
const b: VmigRecord = { id: 1, vex_version: "1.0.0" };
// @ts-expect-error vectors are of numbers
const c: VmigRecord = { ...least, vector: ["1"] };
// @ts-expect-error strictly, metadata is flat
const d: StrictVmigRecord = { ...least, metadata: { tags: ["a"] } };
// @ts-expect-error strictly, times are text
const e: StrictVmigRecord = { ...least, created_at: 1780525199 };
// @ts-expect-error strictly, vectors have one row
const f: StrictVmigRecord = { ...least, vector: [[1]] };
// @ts-expect-error strictly, vectors have no names
const g: StrictVmigRecord = { ...least, vectors: { title: [1] } };
// @ts-expect-error a function is not JSON
const h: VmigRecord = { ...least, extra: () => 1 };
"""


@pytest.fixture(scope="module")
def compiler(request: pytest.FixtureRequest) -> list[str]:
    """The TypeScript compiler, installed once into pytest's cache folder."""

    def missing(why: str) -> None:
        if IN_CI:
            pytest.fail(why)
        pytest.skip(why)

    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        missing("node and npm are not installed, so the TypeScript types are not checked")
    folder = request.config.cache.mkdir("typescript")
    program = folder / TYPESCRIPT / "node_modules" / "typescript" / "lib" / "tsc.js"
    with FileLock(folder / "lock"):
        if not program.exists():
            quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--no-save"]
            done = subprocess.run(
                [str(npm), "install", *quiet, "--prefix", str(folder / TYPESCRIPT), f"typescript@{TYPESCRIPT}"],
                capture_output=True,
                text=True,
                check=False,
                timeout=100,
            )
            if done.returncode or not program.exists():
                missing(f"typescript cannot be installed: {done.stderr[-500:]}")
    return [str(node), str(program)]


def compiled(compiler: list[str], folder: Path, text: str) -> str:
    """Return what the compiler has to say about a program that uses the types."""
    shutil.copy(ROOT / "objects" / "vmig.d.ts", folder)
    (folder / "use.ts").write_text(text, "utf-8")
    command = [*compiler, "--noEmit", "--strict", "--target", "es2022", "use.ts", "vmig.d.ts"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100).stdout


def test_the_types_take_good_records_and_refuse_bad_ones(compiler, tmp_path):
    assert compiled(compiler, tmp_path, GOOD + BAD) == ""
    assert compiled(compiler, tmp_path, GOOD + 'const i: VmigRecord = { id: "a" };').count("error TS") == 1


def test_the_types_take_the_golden_records(compiler, tmp_path):
    lenient, strict = [], []
    for path in sorted(GOLDEN.glob("*.vmig.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            found = check_line(line).findings
            if all(severity(each.code, strict=False) != "error" for each in found):
                lenient.append(line.decode().strip())
            if all(severity(each.code, strict=True) != "error" for each in found):
                strict.append(line.decode().strip())
    assert len(strict) > 10 and len(lenient) > len(strict)
    lists = [
        f"const {name}: {kind}[] = [\n{','.join(rows)}\n];"
        for name, kind, rows in (("lenient", "VmigRecord", lenient), ("strict", "StrictVmigRecord", strict))
    ]
    head = 'import type { StrictVmigRecord, VmigRecord } from "./vmig";\n'
    assert compiled(compiler, tmp_path, head + "\n".join(lists)) == ""
