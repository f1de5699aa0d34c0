"""The file: who may open it, what is refused, and what the messages say."""

import sqlite3
from pathlib import Path

import pytest
from event_samples import change, feedback, run_of

from bandit_router.exceptions import StoreError, StoreHeld
from bandit_router.store import EventStore


def run_sql(path: Path, sql: str) -> None:
    raw = sqlite3.connect(path)
    raw.execute(sql)
    raw.commit()
    raw.close()


def test_a_reader_sees_what_the_writer_commits_and_may_not_write(store, path):
    with EventStore.open(path, readonly=True) as reader:
        assert reader.last_seq() == 0
        store.append(run_of(1, 3))
        assert reader.last_seq() == 3
        assert list(reader.events()) == run_of(1, 3)
        with pytest.raises(StoreError, match="read only"):
            reader.append(run_of(4, 4))
        with pytest.raises(StoreError, match="read only"):
            reader.save_snapshot(1, b"x", "x", 1)


def test_a_second_writer_is_refused_by_every_name_of_the_file(store, path, tmp_path):
    link = tmp_path / "other name.db"
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(StoreHeld, match="stop it first"):
            EventStore.open(name)


def test_closing_lets_the_next_one_write(path):
    for seq in (1, 2, 3):
        with EventStore.open(path) as store:
            store.append([feedback(seq)])


def test_a_failed_open_holds_nothing(path):
    path.write_bytes(b"no database at all, whatever one may think " * 100)
    for _ in range(2):
        with pytest.raises(StoreError, match="not a database") as caught:
            EventStore.open(path)
        assert not isinstance(caught.value, StoreHeld)


def test_a_closed_store_says_so(path):
    store = EventStore.open(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.last_seq()
    with pytest.raises(StoreError, match="closed"):
        store.append(run_of(1, 1))
    with pytest.raises(StoreError, match="closed"):
        store.backup(path.with_name("copy.db"))


@pytest.mark.parametrize("name", ["with space.db", "what?mode=rw#x%20.db", "naïve ☃.db"])
def test_any_file_name(tmp_path, name):
    with EventStore.open(tmp_path / name) as store:
        store.append(run_of(1, 1))
    assert sorted(p.name for p in tmp_path.iterdir()) == [name, f"{name}.lock"]


def test_what_is_absent_cannot_be_read(path):
    with pytest.raises(StoreError, match="no database"):
        EventStore.open(path, readonly=True)
    assert not path.exists()


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(StoreError, match="is a folder"):
        EventStore.open(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(StoreError, match="make it first"):
        EventStore.open(tmp_path / "absent" / "log.db")


@pytest.mark.parametrize("readonly", [False, True])
def test_what_is_no_database_is_refused_and_left_alone(path, readonly):
    content = b"dear diary, " * 1000
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a database"):
        EventStore.open(path, readonly=readonly)
    assert path.read_bytes() == content


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("table", ["recipes (name)", "meta (key, value)", "meta (other)"])
def test_another_programs_database_is_refused_and_left_alone(path, table, readonly):
    run_sql(path, f"CREATE TABLE {table}")
    content = path.read_bytes()
    with pytest.raises(StoreError, match="not a bandit-router database"):
        EventStore.open(path, readonly=readonly)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_log_but_is_none_yet(path):
    path.touch()
    with pytest.raises(StoreError, match="not a bandit-router database"):
        EventStore.open(path, readonly=True)
    with EventStore.open(path) as store:
        store.append(run_of(1, 1))


@pytest.mark.parametrize("readonly", [False, True])
def test_a_newer_schema_is_refused(path, readonly):
    EventStore.open(path).close()
    run_sql(path, "UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(StoreError, match=r"schema 99.*upgrade"):
        EventStore.open(path, readonly=readonly)


def test_a_newer_event_is_refused(store, path):
    store.append(run_of(1, 2))
    run_sql(path, "UPDATE events SET version = 99 WHERE seq = 2")
    reading = store.events()
    assert next(reading) == feedback(1)
    with pytest.raises(StoreError, match=r"event 2 .*version 99.*upgrade"):
        next(reading)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM events WHERE seq = 2", "event 2 is missing"),
        ("UPDATE events SET body = x'00ff' WHERE seq = 2", "event 2 is damaged"),
        ("UPDATE events SET seq = 9 WHERE seq = 3", "event 3 is missing"),
        (
            "UPDATE events SET body = (SELECT body FROM events WHERE seq = 1) WHERE seq = 2",
            r"event 2 is damaged \(it says 1\)",
        ),
    ],
)
def test_a_log_that_was_tampered_with_is_not_folded(store, path, sql, words):
    store.append(run_of(1, 3))
    run_sql(path, sql)
    with pytest.raises(StoreError, match=words):
        list(store.events())


def test_a_damaged_file_says_so(path):
    with EventStore.open(path) as store:
        store.append(run_of(1, 500))
    content = bytearray(path.read_bytes())
    for page in range(12 * 4096, len(content), 4096):
        content[page : page + 512] = b"\xff" * 512
    path.write_bytes(content)
    with (
        EventStore.open(path, readonly=True) as store,
        pytest.raises(StoreError, match=r"malformed.*backup"),
    ):
        list(store.events())


def test_a_full_disk_changes_nothing_and_can_be_got_over(store):
    store.append([change(1)])
    db = store._writer
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="disk is full"):
        store.append(run_of(2, 2000))
    assert store.last_seq() == 1
    db.execute("PRAGMA max_page_count = 1000000")
    store.append(run_of(2, 2000))
    assert store.last_seq() == 2000


# -- backup -------------------------------------------------------------------------------------


def test_a_backup_is_one_file_that_goes_on_as_a_log(store, tmp_path):
    store.append(run_of(1, 5))
    store.save_snapshot(4, b"state", "digest", 1)
    folder = tmp_path / "backups"
    folder.mkdir()
    store.backup(folder / "copy.db")
    store.append(run_of(6, 7))
    with EventStore.open(folder / "copy.db", readonly=True) as copy:
        assert list(copy.events()) == run_of(1, 5)
        assert copy.snapshots() == store.snapshots()
    assert [p.name for p in folder.iterdir()] == ["copy.db"]
    with EventStore.open(folder / "copy.db") as copy:
        copy.append(run_of(6, 6))


def test_a_reader_can_back_up_too(store, path, tmp_path):
    store.append(run_of(1, 2))
    with EventStore.open(path, readonly=True) as reader:
        reader.backup(tmp_path / "copy.db")
    with EventStore.open(tmp_path / "copy.db", readonly=True) as copy:
        assert copy.last_seq() == 2


def test_a_backup_overwrites_nothing(store, path, tmp_path):
    (tmp_path / "precious").write_text("do not touch")
    for target in (path, tmp_path / "precious", tmp_path):
        with pytest.raises(StoreError, match="exists already"):
            store.backup(target)
    with pytest.raises(StoreError):
        store.backup(tmp_path / "absent" / "copy.db")
    assert (tmp_path / "precious").read_text() == "do not touch"


def test_new_files_have_large_pages_and_others_keep_theirs(store, path, tmp_path):
    store.append(run_of(1, 1))
    older = tmp_path / "older.db"
    store.backup(older)
    raw = sqlite3.connect(older, isolation_level=None)
    raw.execute("PRAGMA page_size = 4096")
    raw.execute("VACUUM")
    raw.close()
    with EventStore.open(older) as other:
        other.append(run_of(2, 2))
        assert list(other.events()) == run_of(1, 2)
        assert other.rows("PRAGMA page_size") == [(4096,)]
    assert store.rows("PRAGMA page_size") == [(16_384,)]
