"""Speed, measured: `nox -s bench`. Nothing here is asserted by time."""
