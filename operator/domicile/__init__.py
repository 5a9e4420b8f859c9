"""Domicile: runs AI inference only where its sovereignty tier allows it, and says why."""

__version__ = "0.1.0"
