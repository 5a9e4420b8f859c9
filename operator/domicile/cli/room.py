"""What is known of room without asking a cluster: which accelerator a pool declares. Everything else fits."""

from __future__ import annotations

from domicile.inventory.inventory import Inventory
from domicile.placement.capacity import UNKNOWN_ROOM, PoolRoom, Reservation, read_quantity
from domicile.placement.verdicts import Key


class DeclaredRoom:
    """The field of a decision on paper: all clusters reachable, all nodes free, accelerators as declared."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def room(self, key: Key) -> PoolRoom:
        """Unbounded room on the accelerator the pool's admins declare, if any."""
        spec = self._inventory.clusters.get(key[0])
        pool = next((p for p in spec.node_pools if p.name == key[1]), None) if spec else None
        if pool is None or pool.accelerator is None:
            return UNKNOWN_ROOM
        return PoolRoom(UNKNOWN_ROOM.nodes, pool.accelerator.product, read_quantity(pool.accelerator.memory))

    def reserved(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        """Nothing is promised on paper."""
        return ()

    def reachable(self, cluster: str) -> bool:
        """Nobody was asked."""
        return True
