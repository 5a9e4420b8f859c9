"""Reporting: decisions and observations as status documents, metrics and tables."""
