"""Tiers: what a framework asks and whether facts satisfy it. Pure: no clock, no I/O."""
