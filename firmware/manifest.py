"""Freezes the node into a MicroPython build: make FROZEN_MANIFEST=.../firmware/manifest.py"""
# ruff: noqa: F821  (manifest files are run by MicroPython's makemanifest, which brings these names)

metadata(version="0.1.0", description="A sensor node that signs what it measures")
package("tallystick_wire", opt=3)
package("tallystick_node", opt=3)
module("main.py")
