"""What a board runs at power-on."""

import gc

# What lives long lies close together: the node then needs less heap (docs/node.md).
gc.threshold(4096)  # type: ignore[attr-defined]

from tallystick_node import loader  # noqa: E402

loader.main()
