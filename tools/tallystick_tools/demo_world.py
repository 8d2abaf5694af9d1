"""The demo's world: what runs, and where it keeps its files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tallystick_emulators.unix_node import UnixNode
from tallystick_tools.demo_parts import Part, command
from tallystick_tools.demo_plan import Plan
from tallystick_tools.demo_reader import DemoTag
from tallystick_tools.errors import DemoError

API_TIMEOUT_S = 10.0


@dataclass
class World:
    """Everything that runs. Files of each part lie in its own folder below `folder`."""

    folder: Path
    plan: Plan
    url: str = ""
    witness: Part | None = None
    ledger: Part | None = None
    gateway: Part | None = None
    nodes: list[UnixNode] = field(default_factory=list)
    node_keys: list[str] = field(default_factory=list)  # thumbprints, hex, in the order of PLACES
    loan: str = ""
    tag: DemoTag | None = None

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def acks(self) -> Path:
        return self.folder / "acks"

    @property
    def trust(self) -> Path:
        return self.folder / "site" / "trust.toml"

    @property
    def token_file(self) -> Path:
        return self.folder / "ledger" / "api.token"

    @property
    def ledger_config(self) -> Path:
        return self.folder / "ledger" / "cloud.toml"

    @property
    def gateway_config(self) -> Path:
        return self.folder / "gateway" / "gateway.toml"

    @property
    def gateway_log(self) -> Path:
        """The gateway's database."""
        return self.folder / "gateway" / "state" / "log.db"

    def authority(self, kind: str) -> Path:
        return self.folder / "site" / "authorities" / f"{kind}.key"

    def run(self, *arguments: str | Path) -> str:
        """One command of this project, to its end."""
        return command(*arguments, log=self.logs / "commands.log")

    def api(self, method: str, path: str, **options: Any) -> Any:
        """The JSON that the ledger answers to a request with the operator's token; DemoError on an error answer."""
        options["headers"] = {"Authorization": f"Bearer {self.token_file.read_text('ascii').strip()}"} | options.pop(
            "headers", {}
        )
        try:
            answer = httpx.request(method, self.url + path, timeout=API_TIMEOUT_S, trust_env=False, **options)
        except httpx.HTTPError as error:
            raise DemoError(f"{method} {path}: {error}") from None
        if answer.is_error:
            raise DemoError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def stop(self) -> None:
        """Stop every process, whatever state it is in; safe to call twice."""
        for node in self.nodes:
            node.stop()
        if self.tag is not None:
            self.tag.stop()
        for part in (self.gateway, self.ledger, self.witness):
            if part is not None:
                part.stop()
