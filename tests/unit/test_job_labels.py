"""Labels: what a scanner reads from PDF and ZPL is the item, and FNC1 is where GS1 wants it."""

import subprocess
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]
import pytest
from PIL import Image
from pystrich.datamatrix import DataMatrixData, DataMatrixEncoder
from zebrafy.zebrafy_zpl import ZebrafyZPL

from tallystick_provisioning import item, label, label_pdf, label_text, label_zpl
from tallystick_provisioning.errors import FileError, ItemError
from tallystick_provisioning.item import Item
from tallystick_provisioning.label import Label

GTIN = "09506000134352"
GS = "\x1d"
SERIALS = ["1", "AB-1", "A/1%&'()*+,", "ABCDEFGHIJKLMNOPQRST", "a_z.<=>?;:!"]


def made(serial: str, name: str = "冷冻南美白虾仁 5kg 一级品") -> Label:
    return label.of_item(item.item(GTIN, serial), "item.example", name)


def datamatrix_text(path: Path) -> str:
    """What libdmtx reads; it writes FNC1 as the character that -G names."""
    words = ["dmtxread", "-n", "-N", "1", "-m", "9000", "-G", "29", str(path)]
    done = subprocess.run(words, capture_output=True, check=False)
    return done.stdout.decode().rstrip("\n")


def pictures(labels: list[Label], folder: Path) -> list[Path]:
    """The same labels from the PDF and from the ZPL, as pictures."""
    (folder / "l.pdf").write_bytes(label_pdf.pages(labels))
    pages = pypdfium2.PdfDocument(folder / "l.pdf")
    found = [page.render(scale=6).to_pil() for page in pages]
    pages.close()
    found += ZebrafyZPL(label_zpl.pages(labels).decode("ascii")).to_images()
    paths = []
    for number, picture in enumerate(found):
        paths.append(folder / f"{number}.png")
        picture.convert("RGB").save(paths[-1])
    return paths


@pytest.mark.parametrize("serial", SERIALS)
def test_a_scanner_reads_the_gs1_datamatrix_of_pdf_and_zpl(tmp_path: Path, serial: str) -> None:
    paths = pictures([made(serial), made("X-9")], tmp_path)
    assert len(paths) == 4
    texts = [datamatrix_text(path) for path in paths]
    # libdmtx shows FNC1 in the first place as the separator; without FNC1 nothing stands there.
    assert texts == [f"{GS}01{GTIN}21{serial}", f"{GS}01{GTIN}21X-9"] * 2
    assert [label_text.parse(text) for text in texts] == [Item(GTIN, serial), Item(GTIN, "X-9")] * 2


def test_without_fnc1_it_would_not_be_a_gs1_symbol(tmp_path: Path) -> None:
    """The control: the same digits in a plain DataMatrix read without the separator in front."""
    DataMatrixEncoder(DataMatrixData(f"01{GTIN}21X", encoding="ascii")).save(str(tmp_path / "plain.png"))
    assert datamatrix_text(tmp_path / "plain.png") == f"01{GTIN}21X"


def test_the_qr_code_holds_the_link() -> None:
    """segno's own matrix of that link, with the quiet zone that the standard asks for."""
    modules = label.qr(made("AB-1"))
    assert not any(any(row) for row in [*modules[: label.QR_QUIET], *modules[-label.QR_QUIET :]])
    assert all(modules[label.QR_QUIET][label.QR_QUIET : label.QR_QUIET + 7])  # the finder's upper edge
    assert made("AB-1").qr == f"https://item.example/01/{GTIN}/21/AB-1"


def qr_text(path: Path) -> str:
    """What a phone's camera would: zbar reads QR codes and nothing else here."""
    words = ["zbarimg", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", str(path)]
    return subprocess.run(words, capture_output=True, check=False).stdout.decode().rstrip("\n")


@pytest.mark.parametrize("serial", SERIALS)
def test_a_camera_reads_the_qr_code_of_pdf_and_zpl(tmp_path: Path, serial: str) -> None:
    """Under a name that is longer than the label, and with the longest host."""
    long_name = label.of_item(item.item(GTIN, "X-9"), f"{'h' * 55}.example", "冷冻南美白虾仁" * 18)
    texts = [qr_text(path) for path in pictures([made(serial), long_name], tmp_path)]
    assert texts == [item.item(GTIN, serial).url("item.example"), long_name.qr] * 2


def test_texts_can_be_read_in_the_pdf(tmp_path: Path) -> None:
    (tmp_path / "l.pdf").write_bytes(label_pdf.pages([made("AB-1")]))
    document = pypdfium2.PdfDocument(tmp_path / "l.pdf")
    page = document[0]
    text = page.get_textpage().get_text_range()
    assert page.get_size() == pytest.approx((50 * 72 / 25.4, 30 * 72 / 25.4), abs=0.1)
    document.close()
    assert "SN AB-1" in text
    assert GTIN in text
    assert "冷冻南美白虾仁" in text


def test_everything_lies_on_the_label_and_nothing_on_something_else() -> None:
    picture = label_zpl.picture(made("W" * 20, "国" * 128)).convert("L")
    assert picture.size == (400, 240)
    border = [picture.getpixel((x, y)) for x in range(400) for y in (0, 239)]
    border += [picture.getpixel((x, y)) for x in (0, 399) for y in range(240)]
    assert set(border) == {255}
    qr_end = label.QR_AT[0] + label.QR_MM
    assert qr_end < label.DATAMATRIX_AT[0]
    assert label.DATAMATRIX_AT[0] + label.DATAMATRIX_MM < label.WIDTH_MM
    assert label.QR_AT[1] + label.QR_MM < label.BASELINE_MM
    assert label.BASELINE_MM + 2 * label.LINE_MM < label.HEIGHT_MM


def test_a_module_is_whole_dots_and_large_enough() -> None:
    """GS1 wants at least 0.38 mm for a scanner at arm's length; label printers manage whole dots only."""
    for serial in SERIALS:
        side = len(label.datamatrix(made(serial).elements or ""))
        assert round(label.DATAMATRIX_MM * label_zpl.DOTS_PER_MM) // side >= 4
        assert round(label.QR_MM * label_zpl.DOTS_PER_MM) // len(label.qr(made(serial))) >= 3


def test_without_the_font_it_says_which_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label, "FONTS", (Path("/nowhere/font.ttc"),))
    with pytest.raises(FileError, match="no font for '虾': apt-get install fonts-noto-cjk"):
        label.font([made("1", "虾")])
    assert label.font([made("1", "shrimp")]) is None
    assert label_pdf.pages([made("1", "shrimp")]).startswith(b"%PDF")
    assert isinstance(label_zpl.picture(made("1", "shrimp")), Image.Image)


def test_a_label_without_a_gs1_code(tmp_path: Path) -> None:
    """Things that are no trade items, such as a node."""
    paths = pictures([Label("urn:dev:ops:32473-node-1", None, ("node-1",))], tmp_path)
    assert [datamatrix_text(path) for path in paths] == ["", ""]


# --- what a scanner types


@pytest.mark.parametrize(
    "text",
    [
        f"https://item.example/01/{GTIN}/21/A%2F1",
        f"HTTPS://item.example/01/{GTIN}/21/A%2F1?p=00&c=11",
        f"01{GTIN}21A/1",
        f"]d201{GTIN}21A/1",
        f"]Q3{GS}01{GTIN}21A/1",
        f"{GS}01{GTIN}21A/1{GS}",
        f"01{GTIN}21A/1{GS}10LOT",
        f"(01){GTIN}(21)A/1",
        f"  01{GTIN}21A/1\n",
    ],
)
def test_every_way_a_scanner_writes_it(text: str) -> None:
    assert label_text.parse(text) == Item(GTIN, "A/1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no GTIN and serial number"),
        ("4006381333931", "is no GTIN and serial number"),
        (f"01{GTIN}10LOT", "is no GTIN and serial number"),
        ("https://item.example/", "its link names no GTIN and serial"),
        ("0109506000134353211", "check digit should be 2"),
        (f"01{GTIN}21{'A' * 21}", "21 characters; GS1 allows 20"),
        ("x" * 401, "more than 400 characters"),
    ],
)
def test_other_codes(text: str, message: str) -> None:
    with pytest.raises(ItemError, match=message):
        label_text.parse(text)
