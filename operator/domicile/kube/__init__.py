"""The wire to API servers: raw JSON in, raw JSON out. It knows nothing of tiers, placements or our own kinds."""
