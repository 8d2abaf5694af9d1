"""Values as TOML text, for the configuration files that commands write."""


def quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = "".join(
        f"\\U{ord(character):08x}" if character in '"\\' or not character.isprintable() else character
        for character in text
    )
    return f'"{escaped}"'
