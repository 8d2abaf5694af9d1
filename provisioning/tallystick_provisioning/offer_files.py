"""A folder of offers: NAME.offer is a signed manifest, NAME.image what firmware it announces (found by its hash)."""

from pathlib import Path

from tallystick_provisioning import text_file
from tallystick_provisioning.errors import FileError, OfferError
from tallystick_provisioning.offers import Offer, offer
from tallystick_wire import manifest

OFFER, IMAGE = ".offer", ".image"
MAX_FILES = 256  # of each kind in one folder: a site has a handful


def read(path: Path, image: Path | None = None) -> Offer:
    """One offer; its image lies at `image`, or beside it."""
    data = text_file.read_bytes(path, manifest.MAX_MANIFEST_BYTES)
    files = [image] if image is not None else sorted(path.parent.glob("*" + IMAGE))
    try:
        return offer(data, (text_file.read_bytes(file, manifest.MAX_IMAGE_BYTES) for file in files[:MAX_FILES]))
    except OfferError as error:
        raise OfferError(f"{path}: {error}") from None


def read_image(path: Path) -> bytes:
    """A firmware image; FileError when it is too large for any node."""
    return text_file.read_bytes(path, manifest.MAX_IMAGE_BYTES)


def read_folder(folder: Path) -> tuple[list[Offer], list[str]]:
    """(every good offer, what is wrong with the others). A folder that is not there is empty."""
    good, wrong = [], []
    for path in sorted(folder.glob("*" + OFFER))[:MAX_FILES]:
        try:
            good.append(read(path))
        except (OfferError, FileError) as error:
            wrong.append(str(error))
    return good, wrong
