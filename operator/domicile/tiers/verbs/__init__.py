"""The verbs of rule packs, by what they look at. ``docs/rule-packs.md`` has the table."""
