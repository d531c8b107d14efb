"""What tests ask of a server, and do to it, in the words of its product."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.servers.server import USERNAME

__all__ = ("PRODUCTS", "ProductSql")


@dataclass(frozen=True)
class ProductSql:
    """Statements for the superuser; those with braces are formatted."""

    connections: str
    """Counts the tests' connections."""
    ids: str
    """Gives their ids, one a line."""
    end: str
    """Ends the one with this ``id``."""
    few_connections: str
    """The account may have so many: ``number``."""
    many_connections: str
    """And any number again."""
    new_password: str
    """Gives the account another ``password``."""
    reader: str
    """Makes the account ``name`` with a ``password`` that may read what there is of a ``schema``."""
    may_use: str
    """Gives the account the right to a ``database``, where it needs one to be told that it is not
    there."""
    read_only: str
    """From now on the server takes no writes."""
    writable: str
    """It takes writes again."""
    takes_no_writes: str
    """Gives 1 or 0."""
    impatient: str
    """New connections wait for a lock a second at most."""
    patient: str
    """And as long as they did before."""
    strict: str
    """An option of the server: transactions are serializable unless they say otherwise."""
    deadlocks: str
    """Counts the deadlocks so far, in the last word of what it prints."""
    heavy: str
    """Begins a transaction that is not the one to be ended in a deadlock."""
    sleep: str
    """Waits so many ``seconds``."""
    lock_counter: str
    """Locks the counter of a ``namespace``, so that nobody writes."""
    touch: str
    """Changes the state of an object of a ``namespace``, by its ``uuid`` or by ``digits``."""

    def holding_counter(self, namespace: str, seconds: float) -> str:
        """Keep everybody from writing for some seconds."""
        lock = self.lock_counter.format(namespace=namespace)
        return f"BEGIN; {lock}; {self.sleep.format(seconds=seconds)}; COMMIT;"

    def touching(self, namespace: str, uuids: Iterable[str], seconds: float) -> str:
        """Lock some objects one after the other, with pauses, as a writer that wins a deadlock."""
        pause = self.sleep.format(seconds=seconds)
        updates = [
            self.touch.format(namespace=namespace, uuid=uuid, digits=uuid.replace("-", ""))
            for uuid in uuids
        ]
        return f"{self.heavy}; {f'; {pause}; '.join(updates)}; COMMIT;"

    def last_number(self, printed: str) -> int:
        """Give the number that ends what a statement printed."""
        return int(re.findall(r"\d+", printed)[-1])


PRODUCTS: Mapping[str, ProductSql] = {
    "postgres": ProductSql(
        connections="SELECT count(*) FROM pg_stat_activity WHERE usename = 'tester'",
        ids="SELECT pid FROM pg_stat_activity WHERE usename = 'tester'",
        end="SELECT pg_terminate_backend({id});",
        few_connections=f"ALTER ROLE {USERNAME} CONNECTION LIMIT {{number}}",
        many_connections=f"ALTER ROLE {USERNAME} CONNECTION LIMIT -1",
        new_password=f"ALTER ROLE {USERNAME} PASSWORD '{{password}}'",
        reader=(
            "CREATE ROLE {name} LOGIN PASSWORD '{password}';"
            ' GRANT USAGE ON SCHEMA "{schema}" TO {name};'
            ' GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO {name}'
        ),
        may_use="",
        read_only="ALTER SYSTEM SET default_transaction_read_only = on;\nSELECT pg_reload_conf()",
        writable="ALTER SYSTEM RESET default_transaction_read_only;\nSELECT pg_reload_conf()",
        takes_no_writes="SELECT (current_setting('default_transaction_read_only') = 'on')::int",
        impatient=f"ALTER ROLE {USERNAME} SET lock_timeout = '1s'",
        patient=f"ALTER ROLE {USERNAME} RESET lock_timeout",
        strict="default_transaction_isolation",
        deadlocks="SELECT sum(deadlocks) FROM pg_stat_database",
        # Who waits for the shortest time looks for a deadlock first, and ends in it.
        heavy="SET deadlock_timeout = '30s'; BEGIN",
        sleep="SELECT pg_sleep({seconds})",
        lock_counter='SELECT * FROM "{namespace}".counter FOR UPDATE',
        touch="UPDATE \"{namespace}\".state SET modified = modified + 1 WHERE uuid = '{uuid}'",
    ),
    "mysql": ProductSql(
        connections="SELECT count(*) FROM information_schema.processlist WHERE user = 'tester'",
        ids="SELECT id FROM information_schema.processlist WHERE user = 'tester'",
        end="KILL {id};",
        few_connections=f"ALTER USER '{USERNAME}'@'%' WITH MAX_USER_CONNECTIONS {{number}}",
        many_connections=f"ALTER USER '{USERNAME}'@'%' WITH MAX_USER_CONNECTIONS 0",
        new_password=f"ALTER USER '{USERNAME}'@'%' IDENTIFIED BY '{{password}}'",
        reader=(
            "CREATE USER '{name}'@'%' IDENTIFIED BY '{password}';"
            " GRANT SELECT ON tests.* TO '{name}'@'%'"
        ),
        may_use=f"GRANT ALL ON `{{database}}`.* TO '{USERNAME}'@'%'",
        read_only="SET GLOBAL read_only = ON",
        writable="SET GLOBAL read_only = OFF",
        takes_no_writes="SELECT @@global.read_only",
        impatient="SET GLOBAL innodb_lock_wait_timeout = 1",
        patient="SET GLOBAL innodb_lock_wait_timeout = DEFAULT",
        strict="transaction-isolation",
        deadlocks="SHOW GLOBAL STATUS LIKE 'innodb_deadlocks'",
        # Who has changed least ends in a deadlock.
        heavy=(
            "CREATE TABLE IF NOT EXISTS scratch (n INT) ENGINE=InnoDB; BEGIN;"
            " INSERT INTO scratch VALUES (1)" + ", (1)" * 2000
        ),
        sleep="SELECT sleep({seconds})",
        lock_counter="SELECT * FROM {namespace}_counter FOR UPDATE",
        touch="UPDATE {namespace}_state SET modified = modified + 1 WHERE uuid = x'{digits}'",
    ),
}
