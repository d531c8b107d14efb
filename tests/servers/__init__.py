"""Real servers for tests and for trying things by hand: each in its own folder, on its own port."""
