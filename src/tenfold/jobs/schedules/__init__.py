"""Schedules: jobs that are made at the times a cron expression names, in a time zone."""
