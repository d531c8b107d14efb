"""ZooKeeper from Maven Central: the newest version there is."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar

from tests.servers.server import first_program
from tests.servers.sid import CannotInstallError, cache_folder
from tests.servers.zookeeper import ZooKeeper

__all__ = ("ZooKeeperNewest",)

VERSION = "3.9.4"
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>zookeeper</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.zookeeper</groupId><artifactId>zookeeper</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>io.dropwizard.metrics</groupId><artifactId>metrics-core</artifactId>
      <version>4.1.12.1</version>
    </dependency>
    <dependency>
      <groupId>org.xerial.snappy</groupId><artifactId>snappy-java</artifactId>
      <version>1.1.10.5</version>
    </dependency>
  </dependencies>
</project>
"""


class ZooKeeperNewest(ZooKeeper):
    """One ZooKeeper server of the newest version there is."""

    packages: ClassVar[Sequence[str]] = () if shutil.which("mvn") else ("maven",)

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        return VERSION if _folder().is_dir() and first_program("java") else None

    @classmethod
    def install(cls) -> None:
        """Put into the cache what apt cannot install."""
        if cls.version() is not None:
            return
        if shutil.which("mvn") is None:
            raise CannotInstallError("ZooKeeper is had with Maven; run: sudo apt-get install maven")
        cache_folder().mkdir(parents=True, exist_ok=True)
        work = Path(mkdtemp(prefix="zookeeper-", dir=cache_folder()))
        try:
            (work / "pom.xml").write_text(POM, "utf-8")
            command = ["mvn", "-B", "-q", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            if done.returncode:
                raise CannotInstallError(f"{' '.join(command)} failed:\n{done.stdout}")
            (work / "jars").rename(_folder())
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _classpath(self) -> Sequence[str]:
        folder = _folder()
        if self.account.foreign and not self.account.can_execute(folder):
            folder = Path(shutil.copytree(folder, self.folder / "jars", dirs_exist_ok=True))
        return [str(folder / "*")]


def _folder() -> Path:
    return cache_folder() / f"zookeeper-{VERSION}"
