"""Sounds for hands that hold tags: one high beep is good, two low ones are not. Whatever the computer can do."""

import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Protocol

RATE_HZ = 22_050
GOOD_HZ, GOOD_S = 1_760, 0.12
WRONG_HZ, WRONG_S, PAUSE_S = 220, 0.18, 0.09
_LOUDNESS = 0.6
_PLAYERS = (("pw-play",), ("paplay",), ("aplay", "-q"))


class Sound(Protocol):
    def good(self) -> None: ...

    def wrong(self) -> None: ...

    def close(self) -> None: ...


class Silent:
    """For --silent."""

    def good(self) -> None: ...

    def wrong(self) -> None: ...

    def close(self) -> None: ...


class Bell:
    """The terminal's bell, which sounds where the person sits: once for good, twice for wrong."""

    def good(self) -> None:
        self._ring("\a")

    def wrong(self) -> None:
        self._ring("\a\a")

    def close(self) -> None: ...

    def _ring(self, bells: str) -> None:
        sys.stderr.write(bells)
        sys.stderr.flush()


class Player:
    """Short WAV files through the system's player. A player that fails is silence, never a stopped run."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._folder = tempfile.TemporaryDirectory(prefix="tallystick-sound-")
        self._running: subprocess.Popen[bytes] | None = None
        write_wav(self._file("good"), tone(GOOD_HZ, GOOD_S))
        write_wav(self._file("wrong"), tone(WRONG_HZ, WRONG_S) + silence(PAUSE_S) + tone(WRONG_HZ, WRONG_S))

    def good(self) -> None:
        self._play("good")

    def wrong(self) -> None:
        self._play("wrong")

    def close(self) -> None:
        """Let the last sound end, and tidy up."""
        if self._running is not None:
            self._running.wait()
        self._folder.cleanup()

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}.wav"

    def _play(self, name: str) -> None:
        if self._running is not None and self._running.poll() is None:
            self._running.kill()  # the newest sound is the one that counts
            self._running.wait()
        command, null = [*self._command, str(self._file(name))], subprocess.DEVNULL
        try:
            self._running = subprocess.Popen(command, stdin=null, stdout=null, stderr=null)
        except OSError:
            self._running = None


def choose(silent: bool) -> Sound:
    """A player where one is and the person sits here; over ssh the terminal's bell; without a terminal nothing."""
    if silent:
        return Silent()
    player = next((command for command in _PLAYERS if shutil.which(command[0])), None)
    if player and "SSH_CONNECTION" not in os.environ:
        return Player(player)
    return Bell() if sys.stderr.isatty() else Silent()


def tone(hertz: int, seconds: float) -> bytes:
    """A sine, 16 bits, one channel."""
    count = int(RATE_HZ * seconds)
    heights = (math.sin(2 * math.pi * hertz * index / RATE_HZ) for index in range(count))
    return b"".join(struct.pack("<h", int(32_767 * _LOUDNESS * height)) for height in heights)


def silence(seconds: float) -> bytes:
    return bytes(2 * int(RATE_HZ * seconds))


def write_wav(path: Path, samples: bytes) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples)
