"""Modules that a node needs once in a season: imported in the function that needs them, let go here.

MicroPython keeps for ever what was once imported, and a small board has better use for that much memory.
"""

import gc
import sys

VERIFIER: "tuple[str, ...]" = ("tallystick_node.ed25519_pure", "tallystick_node.ed25519_verify")
UPDATES: "tuple[str, ...]" = (
    "tallystick_node.loading",
    "tallystick_node.slots",
    "tallystick_node.slots_partition",
    "tallystick_node.update",
    "tallystick_wire.image",
    "tallystick_wire.manifest",
    "tallystick_wire.settings",
    "tallystick_wire.transfer",
)
# What finds out, once in a boot, what a board is.
START: "tuple[str, ...]" = ("tallystick_node.board_sensors", "tallystick_node.firmware")


def let_go(names: "tuple[str, ...]") -> None:
    """The next import reads them again. What somebody still refers to goes on to live."""
    if sys.implementation.name != "micropython":
        return  # a computer has the room, and its tests hold on to modules
    for name in names:
        if sys.modules.pop(name, None) is not None:
            package, _, module = name.rpartition(".")
            delattr(sys.modules[package], module)
    gc.collect()
