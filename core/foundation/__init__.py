"""What everything stands on: errors, files, registries and jobs."""
