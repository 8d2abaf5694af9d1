"""What a barcode scanner types when it reads one of our labels: a Digital Link, or a GS1 element string. No I/O."""

import re
from urllib.parse import unquote, urlsplit

from tallystick_provisioning import item
from tallystick_provisioning.errors import ItemError
from tallystick_provisioning.item import Item

MAX_SCAN_CHARACTERS = 400  # beyond any label of ours
GROUP_SEPARATOR = "\x1d"  # what a reader makes of FNC1 between two fields
_SYMBOLOGY = re.compile(r"\](d2|Q3|C1|e0)")  # AIM prefixes of GS1 symbols, where a scanner is set to send them
_LINK = re.compile(r"/01/(?P<gtin>[0-9]{14})/21/(?P<serial>[^/?#]+)")
_BRACKETS = re.compile(r"\(01\)(?P<gtin>[0-9]{14})\(21\)(?P<serial>.+)")


def element_string(one: Item) -> str:
    """AI 01 has a fixed length and AI 21 stands last: no separator is needed between them."""
    return f"01{one.gtin}21{one.serial}"


def parse(text: str) -> Item:
    """The item that a label names; ItemError when it is none of ours."""
    text = text.strip()
    if len(text) > MAX_SCAN_CHARACTERS:
        raise ItemError("label", f"more than {MAX_SCAN_CHARACTERS} characters")
    if text.lower().startswith(("http://", "https://")):
        return _of_link(text)
    match = _BRACKETS.fullmatch(text)
    if match:
        return item.item(match["gtin"], match["serial"])
    return _of_elements(_SYMBOLOGY.sub("", text, count=1).strip(GROUP_SEPARATOR))


def _of_link(text: str) -> Item:
    match = _LINK.fullmatch(urlsplit(text).path)
    if not match:
        raise ItemError("label", "its link names no GTIN and serial")
    return item.item(match["gtin"], unquote(match["serial"]))


def _of_elements(text: str) -> Item:
    if not re.match(r"01[0-9]{14}21.", text):
        raise ItemError("label", "is no GTIN and serial number")
    return item.item(text[2:16], text[18:].partition(GROUP_SEPARATOR)[0])
