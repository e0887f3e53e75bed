"""How fast the engine is beside what it stands on: `scripts/bench`."""
