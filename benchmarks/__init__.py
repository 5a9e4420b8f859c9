"""Measurements of the engine and of a whole operator. Figures and their reading: docs/performance.md."""
