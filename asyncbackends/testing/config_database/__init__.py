"""The conformance kit of the configuration database: a class of tests per narrow Protocol."""

from asyncbackends.testing.config_database.batches import BatchConformance
from asyncbackends.testing.config_database.cancellation import CancellationConformance
from asyncbackends.testing.config_database.creating_many import CreatingManyConformance
from asyncbackends.testing.config_database.creation import CreationConformance
from asyncbackends.testing.config_database.deletes import DeletesConformance
from asyncbackends.testing.config_database.fences import FencesConformance
from asyncbackends.testing.config_database.filters import FiltersConformance
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.freshness import FreshnessConformance
from asyncbackends.testing.config_database.guarantees import GuaranteesConformance
from asyncbackends.testing.config_database.histories import HistoriesConformance
from asyncbackends.testing.config_database.key_values import (
    KeyValueConformance,
    UseragentConformance,
)
from asyncbackends.testing.config_database.legacy_integrity import LegacyIntegrityConformance
from asyncbackends.testing.config_database.lifecycle import LifecycleConformance
from asyncbackends.testing.config_database.listing import ListingConformance
from asyncbackends.testing.config_database.names import NamesConformance
from asyncbackends.testing.config_database.object_refs import RefsConformance
from asyncbackends.testing.config_database.processes import ProcessesConformance
from asyncbackends.testing.config_database.property_collections import CollectionsConformance
from asyncbackends.testing.config_database.quirks import QuirksConformance
from asyncbackends.testing.config_database.reading import ReadingConformance
from asyncbackends.testing.config_database.references import ReferencesConformance
from asyncbackends.testing.config_database.sample import KIT_SCHEMA
from asyncbackends.testing.config_database.schema_storage import SchemaConformance
from asyncbackends.testing.config_database.sharing import SharingConformance
from asyncbackends.testing.config_database.updates import UpdatesConformance
from asyncbackends.testing.config_database.values import ValuesConformance
from asyncbackends.testing.config_database.watching import WatchConformance

__all__ = ("KIT_SCHEMA", "ConfigDatabaseConformance", "DatabaseFixtures")


class ConfigDatabaseConformance(
    CreationConformance,
    CreatingManyConformance,
    ReadingConformance,
    UpdatesConformance,
    DeletesConformance,
    ListingConformance,
    FiltersConformance,
    RefsConformance,
    ReferencesConformance,
    CollectionsConformance,
    NamesConformance,
    SharingConformance,
    UseragentConformance,
    KeyValueConformance,
    BatchConformance,
    WatchConformance,
    HistoriesConformance,
    FencesConformance,
    FreshnessConformance,
    ValuesConformance,
    SchemaConformance,
    LegacyIntegrityConformance,
    LifecycleConformance,
    CancellationConformance,
    GuaranteesConformance,
    ProcessesConformance,
    QuirksConformance,
):
    """All that an engine of the kind ``config_database`` has to hold.

    Inherit it, name the engine, and say in the fixture ``settings`` how an empty database is
    opened::

        class TestMongo(ConfigDatabaseConformance):
            engine = "mongo"

            @pytest.fixture
            def settings(self, tmp_path):
                return {"engine": "mongo", "endpoints": "localhost:27017", "namespace": fresh_name()}

    Nothing is skipped: what an engine declares must hold, and what it does not declare must show
    its lack.
    """
