"""Manifests as files: YAML with line numbers, parsed into the API models, errors that name file, line and field."""
