"""The one-command stack on this machine: embedded Postgres, sandbox, clock and worker."""
