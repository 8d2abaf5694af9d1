"""`python -m tallystick_tools` is `tallystick`."""

from tallystick_tools.command import main

main()
