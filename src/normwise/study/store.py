"""A study on disk: one folder, in which every finished run is a file from the moment it is."""

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from normwise.errors import UsageError
from normwise.files import write_text
from normwise.study.record import Record
from normwise.study.schedule import Schedule

_MANIFEST = "study.json"
_LONGEST_NAME = 150  # file systems take 255 bytes, and a temporary file has some more


class Store:
    """The folder of a study.

    Args:
        folder: made if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, identity: dict[str, Any], resume: bool) -> None:
        """Make sure that a study may be written here.

        Args:
            identity: what the numbers of its runs depend on.
            resume: whether the folder's runs may be made use of.

        Raises:
            UsageError: the folder holds something else, or runs of this study and `resume` is off.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"out={self.folder} is a file: name a folder for the study")
        if not self.folder.exists() or not any(map(_counts, self.folder.iterdir())):
            return
        manifest = self._manifest()
        if manifest is None:
            raise UsageError(
                f"out={self.folder} holds files but no study: name a new or empty folder"
            )
        theirs = manifest.get("identity", {})
        unlike = [k for k in {**identity, **theirs} if theirs.get(k) != identity.get(k)]
        if unlike:
            told = "; ".join(
                f"{k}: {theirs.get(k)!r} there, {identity.get(k)!r} here" for k in unlike
            )
            raise UsageError(f"out={self.folder} holds another study ({told}): name another folder")
        finished = len(self.records())
        if finished and not resume:
            raise UsageError(
                f"out={self.folder} holds this study already, with {finished} finished "
                f"run{'' if finished == 1 else 's'}: resume it (--resume, resume=True), or name "
                "another folder"
            )

    def check_variants(self, fingerprints: dict[str, str]) -> None:
        """Make sure that variants which ran here before are still the same networks.

        Raises:
            UsageError: a name now stands for another network.
        """
        known = (self._manifest() or {}).get("variants", {})
        changed = [name for name, mark in fingerprints.items() if known.get(name, mark) != mark]
        if changed:
            raise UsageError(
                f"out={self.folder} holds runs of {', '.join(map(repr, changed))} with another "
                "network of that name: give the variant a new name, or name another folder"
            )

    def begin(self, manifest: dict[str, Any]) -> None:
        """Write what the study is, keeping the marks of variants that ran here before."""
        known = (self._manifest() or {}).get("variants", {})
        manifest = {**manifest, "variants": {**known, **manifest["variants"]}}
        write_text(self.folder / _MANIFEST, json.dumps(manifest, indent=2) + "\n")

    def schedule(self) -> Schedule | None:
        """Return how the runs here have been trained, or None where nothing is known."""
        try:
            return Schedule.from_plain((self._manifest() or {})["schedule"])
        except (KeyError, TypeError, ValueError):
            return None

    def save(self, record: Record) -> None:
        """Put a finished run on disk."""
        write_text(self._path(record.variant, record.seed), record.to_json())

    def records(self) -> dict[tuple[str, int], Record]:
        """Return the finished runs by variant and seed; what cannot be read counts as not run."""
        found = {}
        for path in sorted((self.folder / "runs").glob("*.json")):
            try:
                record = Record.from_json(path.read_text())
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
            found[record.variant, record.seed] = record
        return found

    def _path(self, variant: str, seed: int) -> Path:
        name = quote(variant, safe="+=.,")
        if len(name) > _LONGEST_NAME:
            name = name[:_LONGEST_NAME] + hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        return self.folder / "runs" / f"{name}-{seed}.json"

    def _manifest(self) -> dict[str, Any] | None:
        try:
            manifest = json.loads((self.folder / _MANIFEST).read_text())
        except (OSError, ValueError):
            return None
        return manifest if isinstance(manifest, dict) else None


def _counts(path: Path) -> bool:
    """Tell files from what a killed process, or the desktop, leaves behind."""
    return not path.name.startswith(".")
