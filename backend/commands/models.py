"""`python -m backend models list|install|import|verify`: the model packs that the engine insightface can use."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from pathlib import Path

from tqdm import tqdm

from backend import settings
from backend.faces import packs
from backend.faces.download import Progress
from backend.faces.pack_error import PackError

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="packs that are installed and packs that can be")
    install = actions.add_parser("install", help="download a pack")
    install.add_argument("pack", choices=sorted(packs.CATALOGUE), help="which")
    install.add_argument("--url", help="a mirror of the pack's archive; the files must have the known hashes all the same")
    bring = actions.add_parser("import", help="take a pack from a folder or a ZIP archive, without a network")
    bring.add_argument("source", type=Path, help="folder or ZIP archive with the pack's .onnx files")
    bring.add_argument("--name", help="the pack's name (default: the source's)")
    for consenting in (install, bring):
        consenting.add_argument("--agree", action="store_true", help="agree to the licence without being asked")
        consenting.add_argument("--agreed-by", metavar="NAME", help="who agrees (default: the user who runs this)")
    verify = actions.add_parser("verify", help="compare the files of installed packs with their hashes")
    verify.add_argument("pack", nargs="?", help="which (default: all)")
    for action in (listing, install, bring, verify):
        action.add_argument("--models-dir", type=Path, help="the models folder (default: BACKEND_MODELS_DIR)")
        action.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    models_dir = settings.load(models_dir=args.models_dir).models_dir
    actions = {"list": _list, "install": _install, "import": _import, "verify": _verify}
    try:
        return actions[args.action](args, models_dir)
    except PackError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or models_dir}: {error.strerror}", file=sys.stderr)
    return FAILED


def _list(args: argparse.Namespace, models_dir: Path) -> int:
    there = {pack.name: packs.read_record(pack) for pack in packs.installed(models_dir)}
    rows = []
    for name in sorted({*there, *packs.CATALOGUE}):
        listing, record = packs.CATALOGUE.get(name), there.get(name)
        rows.append(
            {
                "name": name,
                "installed": name in there,
                "folder": str(models_dir / name) if name in there else None,
                "licence": record.licence if record else listing.licence if listing else packs.UNKNOWN_LICENCE,
                "agreed_by": record.agreed_by if record else None,
                "about": listing.about if listing else None,
            }
        )
    if args.json:
        print(json.dumps({"items": rows}, indent=2))
    else:
        for row in rows:
            print(
                f"{row['name']:<12} {row['folder'] or 'not installed'}\n{'':<12} {row['about'] or ''}\n{'':<12} {row['licence']}"
            )
    return 0


def _install(args: argparse.Namespace, models_dir: Path) -> int:
    listing = packs.CATALOGUE[args.pack]
    consent = _consent(args, listing.name, listing.licence)
    with _Bar() as bar:
        folder = packs.install(listing, models_dir, consent=consent, url=args.url, progress=bar.update)
    return _done(args, folder)


def _import(args: argparse.Namespace, models_dir: Path) -> int:
    name = args.name or args.source.resolve().stem
    listing = packs.CATALOGUE.get(name)
    consent = _consent(args, name, listing.licence if listing else packs.UNKNOWN_LICENCE)
    return _done(args, packs.import_pack(args.source, models_dir, name=name, consent=consent))


def _verify(args: argparse.Namespace, models_dir: Path) -> int:
    chosen = [models_dir / args.pack] if args.pack else packs.installed(models_dir)
    if not chosen or not all(pack.is_dir() for pack in chosen):
        raise PackError(f"There is no such pack in {models_dir}: see `python -m backend models list`")
    found = {pack.name: packs.problems(pack) for pack in chosen}
    if args.json:
        print(json.dumps({"items": [{"name": name, "problems": wrong} for name, wrong in found.items()]}, indent=2))
    else:
        for name, wrong in found.items():
            print(f"{name}: " + ("; ".join(wrong) if wrong else "every file is as it was installed"))
    return FAILED if any(found.values()) else 0


def _consent(args: argparse.Namespace, name: str, licence: str) -> packs.Consent:
    """Raises PackError unless somebody agreed, here or with --agree."""
    person = args.agreed_by or getpass.getuser()
    if not args.agree:
        print(f"{name}\nLicence: {licence}", file=sys.stderr)
        if not sys.stdin.isatty():
            raise PackError("Nobody is here to agree to the licence: read it and run the command again with --agree")
        print("Do you agree to it? Type yes: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() != "yes":
            raise PackError("The licence was not agreed to: nothing was installed")
    return packs.Consent.now(person)


def _done(args: argparse.Namespace, folder: Path) -> int:
    record = packs.read_record(folder)
    if args.json:
        print(json.dumps({"name": folder.name, "folder": str(folder), "files": record.files if record else {}}, indent=2))
    else:
        print(f"{folder.name} is installed. To use it: BACKEND_ENGINE=insightface BACKEND_MODEL_PACK={folder}")
    return 0


class _Bar:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="B", unit_scale=True, disable=None, leave=False)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    @property
    def update(self) -> Progress:
        return self._update

    def _update(self, done: int, total: int | None) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)
