"""Decides again what the decision log says was decided, from the log alone."""
