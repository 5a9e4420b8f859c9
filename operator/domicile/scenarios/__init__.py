"""Scenario files: tests of rule packs. ``docs/scenarios.md`` has the format."""
