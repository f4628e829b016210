"""The parts of the embedded Postgres launcher. Blocking code: `store.embedded` runs it off the event loop."""
