"""What a board runs at power-on."""

from tallystick_node import loader

loader.main()
