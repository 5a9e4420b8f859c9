"""The whole of Domicile on one machine: `make demo`."""
