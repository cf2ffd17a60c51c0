"""A SQLite store's files are for their owner alone, whatever the umask; looser ones are found."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from engine.audio.wav import WavFile, private_folder, repair
from routing.identifiers import NIL
from service.file_modes import loose, of_recordings, tell
from store.database.file import database_files, database_path
from store.store import Store


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids="{:04o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("spelled", ["{0}/a.db", "{0}/link.db", "file:{0}/a.db?uri=true"])
async def test_a_new_database_and_what_lies_beside_it_is_its_owners_alone(
    tmp_path: Path, umask: int, spelled: str
) -> None:
    (tmp_path / "link.db").symlink_to("a.db")
    store = await Store.open(f"sqlite:///{spelled.format(tmp_path)}")
    async with store.write() as transaction:
        transaction.changed("number", NIL, "+1")
    found = {name: mode(tmp_path / name) for name in os.listdir(tmp_path) if name != "link.db"}  # noqa: PTH208
    assert found == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}
    assert not [*loose(database_files(tmp_path / "link.db"))]
    await store.close()


async def test_a_looser_file_is_left_as_it_is_and_named_with_what_mends_it(tmp_path: Path) -> None:
    """A copy that was restored, or a store of an earlier version: SQLite gives the log the file's own mode."""
    path = tmp_path / "a b.db"
    await (await Store.open(f"sqlite:///{path}")).close()
    path.chmod(0o640)
    store = await Store.open(f"sqlite:///{path}")
    found = [*loose(database_files(path))]
    assert [(each.path.name, each.mode) for each in found] == [
        ("a b.db", 0o640),
        ("a b.db-wal", 0o640),
        ("a b.db-shm", 0o640),
    ]
    assert found[0].mended == f"chmod 600 '{path}'"
    await store.close()


def test_a_recording_and_the_folders_made_for_it_are_their_owners_alone(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "voices/of/platform"
    private_folder(folder)
    file = WavFile(folder / "one.wav", 1)
    file.open()
    assert mode(folder / "one.wav.part") == 0o600
    file.append(bytes(320), 8000)
    file.finish(b"", 8000)
    modes = [mode(path) for path in (folder / "one.wav", folder, folder.parent, folder.parent.parent)]
    assert modes == [0o600, 0o700, 0o700, 0o700]
    private_folder(folder)  # one that is there is left as it is


def test_what_an_earlier_version_left_half_written_becomes_private_when_it_is_taken_over_or_mended(
    tmp_path: Path,
) -> None:
    for name in ("again.wav", "mended.wav"):
        file = WavFile(tmp_path / name, 1)
        file.open()
        file.append(bytes(320), 8000)
        assert file._file is not None
        file._file.close()
        (tmp_path / f"{name}.part").chmod(0o644)
    WavFile(tmp_path / "again.wav", 1).open()
    assert repair(tmp_path / "mended.wav") is not None
    assert mode(tmp_path / "again.wav.part") == mode(tmp_path / "mended.wav") == 0o600


class Lines:
    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def warning(self, event: str, **values: object) -> None:
        self.lines.append({"event": event} | values)


def test_loose_recordings_and_folders_are_named_and_many_are_counted(tmp_path: Path) -> None:
    inner = tmp_path / "platform"
    private_folder(inner)
    tmp_path.chmod(0o700)
    files = [inner / f"2026-11-30-11111111-1111-1111-1111-111111111111-{number}.wav" for number in range(1, 15)]
    for file in files:
        file.touch(0o600)
    (inner / "notes.txt").touch(0o644)  # not ours
    assert not [*loose(of_recordings(tmp_path))]
    inner.chmod(0o750)
    for file in files[:12]:
        file.chmod(0o604)
    log = Lines()
    tell(loose(of_recordings(tmp_path)), log)  # type: ignore[arg-type]
    hints = [str(line.get("hint")) for line in log.lines]
    assert hints[0] == f"chmod 700 {inner}"
    assert len(log.lines) == 11 and all(hint.startswith(f"chmod 600 {inner}/2026-") for hint in hints[1:10])
    assert log.lines[-1] == {"event": "more secret files readable by others", "files": 3}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////var/a.db", "/var/a.db"),
        ("sqlite:////var/a.db?timeout=5", "/var/a.db"),
        ("sqlite:///file:/var/a%20b.db?mode=rwc&uri=true", "/var/a b.db"),
        ("sqlite:///file://localhost/var/a.db?uri=true", "/var/a.db"),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:name?mode=memory&cache=shared&uri=true", None),
        ("sqlite://", None),
        ("postgresql://a:b@h/d", None),
    ],
)
def test_the_file_of_a_database_url(url: str, path: str | None) -> None:
    assert database_path(make_url(url)) == (None if path is None else Path(path))
