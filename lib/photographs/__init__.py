"""A real network on real photographs: those of two wheels, or a user's own network on her own pictures."""

from lib.photographs.brought_network import BroughtNetwork, bring_network
from lib.photographs.photographs import Photographs, find_photographs, take_photographs
from lib.photographs.viewpoints import VIEWPOINTS, Viewpoint
from lib.photographs.wheels import wheel_network, wheel_photographs

__all__ = [
    "VIEWPOINTS",
    "BroughtNetwork",
    "Photographs",
    "Viewpoint",
    "bring_network",
    "find_photographs",
    "take_photographs",
    "wheel_network",
    "wheel_photographs",
]
