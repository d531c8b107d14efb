"""Which promises the tests of the kit prove.

The kit runs where nobody knows our promises, so what its tests prove stands here: by the class of
the kit that defines a test, and for some tests by name.
"""

from collections.abc import Mapping

__all__ = ("BY_CLASS", "BY_TEST", "promises_of")

BY_CLASS: Mapping[str, str] = {
    "BatchConformance": "database.batches",
    "CancellationConformance": "database.cancelled-writes",
    "CollectionsConformance": "database.collections",
    "ConfigDatabaseAgreement": "database.agrees-with-memory",
    "CreatingManyConformance": "database.creates-many",
    "CreationConformance": "database.creates",
    "DeletesConformance": "database.deletes",
    "FencesConformance": "database.fences",
    "FiltersConformance": "database.filters",
    "FreshnessConformance": "database.freshness",
    "HistoriesConformance": "database.watch-beside-writers",
    "KeyValueConformance": "database.rows",
    "LegacyIntegrityConformance": "database.legacy-integrity",
    "LifecycleConformance": "database.lifecycle",
    "ListingConformance": "database.lists",
    "NamesConformance": "database.names",
    "QuirksConformance": "database.no-legacy-quirks",
    "ReadingConformance": "database.reads",
    "ReferencesConformance": "database.references",
    "RefsConformance": "database.references",
    "SchemaConformance": "database.stored-schema",
    "SharingConformance": "database.shares",
    "UpdatesConformance": "database.updates",
    "UseragentConformance": "database.useragent-texts",
    "ValuesConformance": "database.values",
    "WatchConformance": "database.watch",
}

BY_TEST: Mapping[str, tuple[str, ...]] = {
    "test_atomic_batch": ("database.guarantee-atomic-batch",),
    "test_atomic_writes": ("database.guarantee-atomic-writes",),
    "test_cancelled_write_is_whole_or_not_there": ("database.guarantee-atomic-writes",),
    "test_concurrent_changes_lose_no_update": ("recipes.update-with-loses-no-update",),
    "test_database_wide_revision": ("database.guarantee-database-wide-revision",),
    "test_enforced_references": ("database.guarantee-enforced-references",),
    "test_fenced_writes": ("database.guarantee-fenced-writes",),
    "test_read_your_writes": ("database.guarantee-read-your-writes",),
    "test_shared_between_processes": ("database.guarantee-shared-between-processes",),
    "test_snapshot_reads": ("database.guarantee-snapshot-reads",),
    "test_survives_process_kill": ("database.guarantee-survives-process-kill",),
    "test_unique_ids": ("database.guarantee-unique-names",),
    "test_unique_names": ("database.guarantee-unique-names",),
    "test_watcher_sees_what_writers_were_told": ("database.guarantee-ordered-watch",),
}


def promises_of(cls: type, test: str) -> list[str]:
    """Give the promises that a test of a conformance class proves."""
    definers = [base.__name__ for base in cls.__mro__ if test in vars(base)]
    by_class = [BY_CLASS[name] for name in definers if name in BY_CLASS]
    return [*by_class, *BY_TEST.get(test, ())]
