"""The layout of the packages: no folder grows into a heap, and none crumbles into dust (docs/contributing.md)."""

from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("engine", "routing", "flows", "store", "api", "config", "service")
MAX_FILES = 20
MAX_SMALL = 5
SMALL = 60  # lines
# A revision is written once, and never put together with another.
REVISIONS = "store/migrations/versions"


def test_no_folder_has_too_many_files_or_too_many_small_ones() -> None:
    folders = defaultdict[str, list[int]](list)
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            lines = file.read_text(encoding="utf-8").count("\n")
            folders[str(file.parent.relative_to(ROOT))].append(lines)
    assert len(folders) > 40
    assert {name: len(sizes) for name, sizes in folders.items() if len(sizes) > MAX_FILES} == {}
    small = {name: sum(size < SMALL for size in sizes) for name, sizes in folders.items() if name != REVISIONS}
    assert {name: count for name, count in small.items() if count > MAX_SMALL} == {}
