"""The scheduler service: schedules, polling and realtime triggers. This release fires nothing by time yet."""
