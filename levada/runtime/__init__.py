"""What a process is made of: clock, configuration, logs, health, lifecycle, and the `platform` that composes the adapters."""
