"""Rendering: a decision becomes plain manifests. Pure."""
