"""The RoI explorer of lessons 01, 03 and 05: a RoI that the pointer drags over a small map."""

from .explorer import RoIExplorer, explore_roi

__all__ = ["RoIExplorer", "explore_roi"]
