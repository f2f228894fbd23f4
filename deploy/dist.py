#!/usr/bin/env python3
"""Puts together what is given away: `make dist` calls it with the program that it built.

The archive holds the program without symbols, manual pages, completions for shells, the sample configuration, the
files of `deploy/` and of the caches, licences, and what the program is made of (sbom.cdx.json, CycloneDX 1.5). The same
commit gives the same bytes. Beside it: SHA256SUMS, and with SIGN_KEY (an Ed25519 key in PEM form) SHA256SUMS.sig:

    openssl pkeyutl -verify -rawin -pubin -inkey public.pem -in SHA256SUMS -sigfile SHA256SUMS.sig
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHELLS = {"bash": "consentry.bash", "zsh": "_consentry", "fish": "consentry.fish"}
COPIED = ["LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.md", "README.md", "CHANGELOG.md", "config/consentry.toml",
          "config/consentry.schema.json"]
FOLDERS = ["deploy", "docs", "config/caches"]
# What makes this archive, and what builds the image from the repository.
NOT_COPIED = {"secrets", "dist.py", "compose.yaml", "compose"}


def said(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def metadata():
    platform = re.search(r"^host: (\S+)$", said("rustc", "-vV"), re.M).group(1)
    words = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", platform]
    return platform, json.loads(said(*words))


def bill_of_materials(crates, when):
    """The crates that are compiled into the program, with their hashes from Cargo.lock."""
    lock = (ROOT / "Cargo.lock").read_text()
    hashes = dict()
    for block in lock.split("[[package]]")[1:]:
        field = lambda name: (re.search(rf'^{name} = "(.*)"$', block, re.M) or [None, None])[1]
        hashes[field("name"), field("version")] = field("checksum")
    nodes = {node["id"]: node for node in crates["resolve"]["nodes"]}
    packages = {package["id"]: package for package in crates["packages"]}
    root, found, edges = crates["resolve"]["root"], [], {}
    waiting = [root]
    while waiting:
        crate = waiting.pop()
        if crate in edges:
            continue
        edges[crate] = [
            dependency["pkg"]
            for dependency in nodes[crate]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
        found.append(crate)
        waiting += edges[crate]
    purl = lambda crate: f"pkg:cargo/{packages[crate]['name']}@{packages[crate]['version']}"

    def component(crate):
        package = packages[crate]
        made = {
            "type": "application" if crate == root else "library",
            "bom-ref": purl(crate), "name": package["name"], "version": package["version"], "purl": purl(crate),
        }
        if package["license"]:
            made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        if checksum := hashes.get((package["name"], package["version"])):
            made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return made

    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"timestamp": when, "component": component(root)},
        "components": sorted((component(crate) for crate in found if crate != root), key=lambda made: made["bom-ref"]),
        "dependencies": sorted(
            ({"ref": purl(crate), "dependsOn": sorted({purl(other) for other in edges[crate]})} for crate in found),
            key=lambda made: made["ref"],
        ),
    }


def gathered(folder, binary, crates, seconds):
    program = folder / "consentry"
    shutil.copy(binary, program)
    if shutil.which("strip"):
        said("strip", "--strip-all", program)
    said(program, "man", folder / "man")
    (folder / "completions").mkdir()
    for shell, name in SHELLS.items():
        (folder / "completions" / name).write_text(said(program, "completions", shell))
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in FOLDERS:
        ignored = lambda _, names: NOT_COPIED & set(names)
        shutil.copytree(ROOT / name, folder / name, ignore=ignored, dirs_exist_ok=True)
    when = subprocess.run(
        ["date", "-u", "-d", f"@{seconds}", "+%Y-%m-%dT%H:%M:%SZ"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (folder / "sbom.cdx.json").write_text(json.dumps(bill_of_materials(crates, when), indent=1) + "\n")


def packed(folder, seconds):
    """The same files give the same bytes: no owner, no order of the disk, one time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_dir():
                continue
            entry = archive.gettarinfo(path, f"{folder.name}/{path.relative_to(folder)}")
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime, entry.mode = seconds, 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as content:
                archive.addfile(entry, content)
    return gzip.compress(buffer.getvalue(), 9, mtime=seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/dist")
    options = parser.parse_args()
    platform, crates = metadata()
    version = next(one["version"] for one in crates["packages"] if one["id"] == crates["resolve"]["root"])
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or said("git", "log", "-1", "--format=%ct"))
    name = f"consentry-{version}-{platform}"
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / name
        folder.mkdir()
        gathered(folder, options.binary.resolve(), crates, seconds)
        shutil.copy(folder / "sbom.cdx.json", options.out / f"{name}.cdx.json")
        (options.out / f"{name}.tar.gz").write_bytes(packed(folder, seconds))
    sums = ""
    for file in (f"{name}.tar.gz", f"{name}.cdx.json"):
        sums += f"{hashlib.sha256((options.out / file).read_bytes()).hexdigest()}  {file}\n"
    (options.out / "SHA256SUMS").write_text(sums)
    if key := os.environ.get("SIGN_KEY"):
        said("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", pathlib.Path(key).resolve(),
             "-in", (options.out / "SHA256SUMS").resolve(), "-out", (options.out / "SHA256SUMS.sig").resolve())
    print(sums, end="")


if __name__ == "__main__":
    main()
