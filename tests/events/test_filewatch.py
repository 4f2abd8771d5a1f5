"""What one watch finds when it is told where to look. Real files; no threads, and time is a number."""

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aiflow.events.files import Kind
from aiflow.events.filewatch import FileWatch, Found, Senses
from aiflow.events.scanning import Version, Walk, changed_at, file_system_of, is_inside, is_written, version_of
from aiflow.graph.file import taken_apart


class World:
    """The senses of a watch, in the hands of a test, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 1000.0
        self.later: list[tuple[float, str]] = []
        self.told: list[Found] = []
        self.is_written: Callable[[str], bool | None] = is_written
        self.fails = False

    def watch(self, pattern: str = "*.csv", settle: float = 0.0, known: dict[str, Version] | None = None) -> FileWatch:
        watch = FileWatch(taken_apart(str(self.folder / pattern)), settle, lambda: known or {}, self.take)
        later = lambda _, path, due: self.later.append((due, path))  # noqa: E731
        watch.senses = Senses(lambda: self.now, later, lambda path: self.is_written(path), lambda watch: None)
        return watch

    def take(self, found: list[Found]) -> None:
        if self.fails:
            raise OSError("no")
        self.told += found

    def names(self, watch: FileWatch) -> list[str]:
        """Look through everything, tell, and give the names that were told now."""
        before = len(self.told)
        watch.look_through(lambda folder: None)
        watch.tell()
        return [os.path.relpath(found.path, self.folder) for found in self.told[before:]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return World(folder)


def put(path: Path, text: str = "1\n", mtime: float | None = None) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return str(path)


# --- patterns ---------------------------------------------------------------------------------------------------------

TREE = ("a.csv", "b.txt", ".c.csv", "in/d.csv", "in/deep/e.csv", ".git/f.csv", "in/.g.csv", "x[1].csv", "A.CSV")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["a.csv", "x[1].csv"]),
        ("?.csv", ["a.csv"]),
        ("[ab].*", ["a.csv", "b.txt"]),
        ("[!a]*.csv", ["x[1].csv"]),
        ("x[[]1].csv", ["x[1].csv"]),
        ("a.csv", ["a.csv"]),
        (".*.csv", [".c.csv"]),
        ("*/*.csv", ["in/d.csv"]),
        ("in/*.csv", ["in/d.csv"]),
        ("*/deep/*", ["in/deep/e.csv"]),
        ("**/*.csv", ["a.csv", "in/d.csv", "in/deep/e.csv", "x[1].csv"]),
        ("in/**", ["in/d.csv", "in/deep/e.csv"]),
        ("**/deep/**/*.csv", ["in/deep/e.csv"]),
        ("**/.g*", ["in/.g.csv"]),
        (".git/*", [".git/f.csv"]),
        ("none/*.csv", []),
    ],
)
def test_26_a_pattern_is_a_shells_and_walking_finds_what_fits(pattern: str, names: list[str], world: World) -> None:
    for name in TREE:
        put(world.folder / name)
    apart = taken_apart(str(world.folder / pattern))
    assert sorted(os.path.relpath(p, world.folder) for p in Walk(apart, lambda folder: None)) == names
    assert sorted(name for name in TREE if apart.fits(str(world.folder / name))) == names


def test_each_folder_is_entered_before_it_is_looked_into(world: World) -> None:
    put(world.folder / "in/deep/a.csv")
    put(world.folder / ".git/b.csv")
    entered: list[str] = []

    def enter(folder: str) -> None:
        entered.append(os.path.relpath(folder, world.folder))
        if folder.endswith("deep"):
            put(world.folder / "in/deep/late.csv")

    found = list(Walk(taken_apart(str(world.folder / "**/*.csv")), enter))
    assert entered == [".", "in", "in/deep"]
    assert len(found) == 2


def test_a_walk_can_be_of_one_folder_only(world: World) -> None:
    for name in ("a/1.csv", "a/in/2.csv", "ab/3.csv", "b/4.csv"):
        put(world.folder / name)
    walk = Walk(taken_apart(str(world.folder / "**/*.csv")), lambda folder: None, str(world.folder / "a"))
    assert sorted(os.path.relpath(p, world.folder) for p in walk) == ["a/1.csv", "a/in/2.csv"]


# --- complete files ---------------------------------------------------------------------------------------------------


def test_26_each_version_of_a_file_is_found_once(world: World) -> None:
    watch = world.watch()
    put(world.folder / "a.csv")
    assert world.names(watch) == ["a.csv"]
    assert world.names(watch) == []
    put(world.folder / "a.csv", "another")
    assert world.names(watch) == ["a.csv"]
    os.replace(put(world.folder / "new"), world.folder / "a.csv")
    assert world.names(watch) == ["a.csv"]
    assert world.names(watch) == []
    (world.folder / "a.csv").unlink()
    assert world.names(watch) == ["a.csv"]
    assert [found.version is None for found in world.told] == [False, False, False, True]


def test_26_what_is_known_from_before_is_not_found_again(world: World) -> None:
    path = put(world.folder / "a.csv")
    version = version_of(path)
    assert version is not None
    gone = str(world.folder / "gone.csv")
    watch = world.watch(known={path: version, gone: version})
    assert world.names(watch) == ["gone.csv"]
    assert world.told == [Found(gone, None)]


def test_26_files_are_told_in_the_order_in_which_they_were_written(world: World) -> None:
    for name, mtime in (("a.csv", 30.0), ("b.csv", 10.0), ("c.csv", 20.0)):
        put(world.folder / name, mtime=mtime)
    assert world.names(world.watch()) == ["b.csv", "c.csv", "a.csv"]


@pytest.mark.skipif(is_written(__file__) is None, reason="nobody here can tell whether a file is being written")
def test_26_a_file_that_is_being_written_is_not_told_until_it_is_closed(world: World) -> None:
    watch = world.watch()
    with open(world.folder / "a.csv", "w") as first, open(world.folder / "a.csv", "a") as second:
        first.write("half")
        first.flush()
        assert is_written(first.name) is True
        assert world.names(watch) == []
        first.close()  # the other one still writes
        watch.look(first.name, Kind.CLOSED)
        assert world.names(watch) == []
        second.write(" and half")
    watch.look(first.name, Kind.CLOSED)
    assert world.names(watch) == ["a.csv"]
    assert is_written(first.name) is False
    assert is_written(str(world.folder / "none.csv")) is None


def test_26_where_closing_cannot_be_seen_a_file_must_stay_the_same_for_a_second(world: World) -> None:
    world.is_written = lambda path: None
    watch = world.watch()
    path = put(world.folder / "a.csv")
    assert world.names(watch) == []
    assert world.later == [(1001.0, path)]
    put(world.folder / "a.csv", "more")
    world.now = 1001.0
    assert world.names(watch) == []
    assert world.later[1:] == [(1002.0, path)]
    world.now = 1002.0
    assert world.names(watch) == ["a.csv"]
    watch.look(put(world.folder / "b.csv"), Kind.CLOSED)  # this one's closing was seen
    watch.tell()
    assert world.told[-1].path == str(world.folder / "b.csv")


def test_26_settle_waits_until_a_file_was_the_same_for_so_long(world: World) -> None:
    watch = world.watch(settle=5.0)
    path = put(world.folder / "a.csv")
    watch.look(path, Kind.CLOSED)
    world.now = 1004.0
    assert world.names(watch) == []
    put(world.folder / "a.csv", "more")
    watch.look(path, Kind.CLOSED)
    assert [due for due, _ in world.later] == [1005.0, 1009.0]
    world.now = 1005.0
    assert world.names(watch) == []
    world.now = 1009.0
    assert world.names(watch) == ["a.csv"]


@pytest.mark.parametrize(("settle", "is_written", "wait"), [(5.0, False, 5.0), (0.0, None, 1.0), (0.0, False, 0.0)])
def test_who_looks_only_once_sees_by_its_times_for_how_long_a_file_was_the_same(
    world: World, settle: float, is_written: bool | None, wait: float
) -> None:
    world.is_written = lambda path: is_written
    changed = changed_at(put(world.folder / "a.csv"))
    for age, told in ((wait / 2, not wait), (wait + 0.001, True)):
        world.now, world.told = changed + age, []
        watch = world.watch(settle=settle)
        watch.look_once()
        watch.tell()
        assert bool(world.told) is told


def test_who_looks_only_once_tells_nothing_of_a_file_that_is_written_or_gone(world: World) -> None:
    world.is_written = lambda path: True
    world.now = changed_at(put(world.folder / "a.csv")) + 100
    watch = world.watch()
    watch.look_once()
    watch.tell()
    assert world.told == []
    assert changed_at(str(world.folder / "b.csv")) == math.inf


def test_a_file_is_as_it_is_since_it_was_written_moved_or_given_other_times(world: World) -> None:
    before = changed_at(put(world.folder / "a.csv"))
    os.utime(world.folder / "a.csv", (1.0, 1.0))
    assert changed_at(str(world.folder / "a.csv")) >= before


def test_26_a_file_that_vanishes_before_it_is_told_is_no_find(world: World) -> None:
    watch = world.watch()
    watch.look(put(world.folder / "a.csv"), Kind.CLOSED)
    watch.look(put(world.folder / "b.csv"), Kind.CLOSED)
    (world.folder / "a.csv").unlink()
    put(world.folder / "b.csv", "longer")
    watch.tell()
    assert [(f.path, f.version) for f in world.told] == [
        (str(world.folder / "b.csv"), version_of(str(world.folder / "b.csv")))
    ]


def test_what_could_not_be_taken_is_told_again(world: World) -> None:
    watch = world.watch()
    put(world.folder / "a.csv")
    world.fails = True
    with pytest.raises(OSError, match="no"):
        world.names(watch)
    world.fails = False
    watch.tell()
    assert len(world.told) == 1
    assert world.names(watch) == []


def test_26_times_that_are_set_right_after_writing_make_no_version_of_their_own(world: World) -> None:
    original = put(world.folder / "original", mtime=5000.0)
    watch = world.watch()
    path = shutil.copyfile(original, world.folder / "a.csv")
    watch.look(str(path), Kind.CLOSED)
    watch.tell()
    shutil.copystat(original, path)  # what shutil.copy2 does next
    watch.look(str(path), Kind.TIMES)
    watch.tell()
    assert [found.same for found in world.told] == [False, True]
    world.now += 10.0
    os.utime(path, (9000.0, 9000.0))
    watch.look(str(path), Kind.TIMES)
    watch.tell()
    assert [found.same for found in world.told] == [False, True, False]
    assert world.names(watch) == []


# --- links and names --------------------------------------------------------------------------------------------------


def test_26_links_that_lead_out_of_the_root_are_refused_and_that_is_logged_once(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "outside/secret.csv")
    put(world.folder / "data/a.csv")
    (world.folder / "out.csv").symlink_to(tmp_path / "outside/secret.csv")
    (world.folder / "out").symlink_to(tmp_path / "outside")
    (world.folder / "in.csv").symlink_to(world.folder / "data/a.csv")
    (world.folder / "round").symlink_to(world.folder)
    files, folders = world.watch(), world.watch("*/*.csv")
    assert world.names(files) == ["in.csv"]
    assert sorted(world.names(folders)) == ["data/a.csv", "round/in.csv"]
    assert world.names(files) == world.names(folders) == []
    refused = [r.getMessage() for r in caplog.records]
    assert sum("out.csv" in text for text in refused) == 2  # once below each of its names
    assert sum("out/secret.csv" in text for text in refused) == 1


def test_26_the_root_itself_may_be_a_link(world: World, tmp_path: Path) -> None:
    put(world.folder / "a.csv")
    (tmp_path / "link").symlink_to(world.folder)
    assert is_inside(str(tmp_path / "link/a.csv"), str(tmp_path / "link"))
    world.folder = tmp_path / "link"
    assert world.names(world.watch()) == ["a.csv"]


def test_what_no_text_can_hold_is_refused(world: World, caplog: pytest.LogCaptureFixture) -> None:
    name = os.fsencode(world.folder) + b"/\xff.csv"
    with open(name, "w"):
        pass
    watch = world.watch()
    assert world.names(watch) == world.names(watch) == []
    assert len(caplog.records) == 1


def test_what_is_no_file_is_no_find(world: World) -> None:
    (world.folder / "folder.csv").mkdir()
    os.mkfifo(world.folder / "pipe.csv")
    (world.folder / "nowhere.csv").symlink_to(world.folder / "none")
    assert world.names(world.watch()) == []


# --- roots that go and come -------------------------------------------------------------------------------------------


def test_26_what_comes_back_with_its_folder_is_the_same_and_what_is_made_again_is_new(world: World) -> None:
    watch = world.watch()
    put(world.folder / "a.csv")
    put(world.folder / "b.csv")
    assert world.names(watch) == ["a.csv", "b.csv"]
    away = world.folder.rename(world.folder.with_name("away"))
    assert world.names(watch) == []
    away.rename(world.folder)
    assert world.names(watch) == []
    shutil.rmtree(world.folder)
    assert world.names(watch) == []
    put(world.folder / "a.csv", "another")
    assert sorted(world.names(watch)) == ["a.csv", "b.csv"]
    assert {Path(f.path).name: (f.version is None, f.anew) for f in world.told[2:]} == {
        "a.csv": (False, True),
        "b.csv": (True, False),
    }


# --- file systems -----------------------------------------------------------------------------------------------------

MOUNTS = """\
22 1 254:1 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /mnt/nas rw shared:1 - nfs4 host:/x rw
31 30 0:31 / /mnt/nas/my\\040disk rw - xfs /dev/sdb rw
32 22 0:32 / /mnt/nas rw - cifs //host/y rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/home/a.csv", "ext4"), ("/mnt/nas/a.csv", "cifs"), ("/mnt/nas/my disk/a", "xfs"), ("/mnt/nasty", "ext4")],
)
def test_the_file_system_of_a_path_is_the_one_that_was_mounted_last_and_inmost(path: str, kind: str) -> None:
    assert file_system_of(path, MOUNTS) == kind
    assert file_system_of(path, "") == ""
