"""Names of entries that are used again."""

from asyncbackends.coordination.contending import MOST_PATHS, EntryNames


def test_name_is_used_again_once_its_entry_was_made_and_withdrawn() -> None:
    names = EntryNames(again=True)
    first, second = names.entry("/a"), names.entry("/a")
    assert first != second
    names.made(first, "s")
    assert names.entry("/a") not in {first, second}
    names.withdrawn(first)
    assert names.entry("/b").startswith("/b/")
    assert names.entry("/a") == first
    assert names.entry("/a") != first, "it was given already"


def test_name_in_doubt_is_never_used_again() -> None:
    names = EntryNames(again=True)
    doubtful = names.entry("/a")
    names.withdrawn(doubtful)
    assert names.entry("/a") != doubtful


def test_what_was_withdrawn_twice_is_used_again_once() -> None:
    names = EntryNames(again=True)
    entry = names.entry("/a")
    names.made(entry, "s")
    names.withdrawn(entry)
    names.withdrawn(entry)
    assert names.entry("/a") == entry
    assert names.entry("/a") != entry


def test_entries_of_an_earlier_session_are_forgotten() -> None:
    names = EntryNames(again=True)
    lost, kept = names.entry("/a"), names.entry("/a")
    names.made(lost, "first")
    names.made(kept, "second")
    names.withdrawn(lost)
    assert names.entry("/a") != lost
    names.withdrawn(kept)
    assert names.entry("/a") == kept


def test_names_are_kept_for_the_last_paths() -> None:
    names = EntryNames(again=True)
    entries: dict[str, str] = {}
    for number in range(MOST_PATHS + 1):
        path = f"/{number}"
        entries[path] = names.entry(path)
        names.made(entries[path], "s")
        names.withdrawn(entries[path])
    assert names.entry("/0") != entries["/0"]
    assert names.entry("/1") == entries["/1"]
    assert names.entry(f"/{MOST_PATHS}") == entries[f"/{MOST_PATHS}"]


def test_names_are_new_where_none_is_to_be_used_again() -> None:
    names = EntryNames(again=False)
    entry = names.entry("/a")
    names.made(entry, "s")
    names.withdrawn(entry)
    assert names.entry("/a") != entry
