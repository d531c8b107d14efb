"""What the engines that speak SQL share: statements, rows and write units, without a driver."""

__all__ = ()
