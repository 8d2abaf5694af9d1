"""Hardware that is not here, at the level of its protocol: boards, loaders, flash, NFC tags and their readers."""
