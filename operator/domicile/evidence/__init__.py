"""The decision log: append-only, hash-chained, signed; and what reads and proves it.

`log.DecisionLog` writes, `commit.GroupCommit` lets many callers share one fsync, `verify.verify` checks a directory
without trusting whoever wrote it, `show` selects records for people. docs/decision-log.md has the format. It must not
know what a record is about: callers give a type and a JSON object.
"""
