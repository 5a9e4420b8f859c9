"""Delivery: manifests to a member by server-side apply, and back out again."""
