"""Placement: law first, capacity second, preference third. Pure: no clock, no I/O."""
