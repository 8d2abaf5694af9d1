"""Freezes the node into a MicroPython build: make FROZEN_MANIFEST=.../firmware/manifest.py

What is frozen is what package.json installs, without the modules for computers.
"""
# ruff: noqa: F821  (manifest files are run by MicroPython's makemanifest, which brings these names and stands here)

import json

metadata(version="0.1.0", description="A sensor node that signs what it measures")
require("onewire")  # micropython-lib: the bus of the DS18B20
with open("package.json") as file:
    listed = [path for path, _ in json.load(file)["urls"]]
for path in listed:
    if "/" in path:
        folder, name = path.split("/")
        package(folder, files=(name,), opt=3)
    else:
        module(path)
