"""What this instance changed to make the host a router: noted before it is done, so it can be taken back.

``<exec-root>/forwarding.json``, gone with the boot as the switches themselves are. Killed between turning
forwarding on and closing FORWARD, the next start closes it: the host is never left an open router.
"""

from __future__ import annotations

import json
from pathlib import Path

from trine.kit.files import write_atomically
from trine.network import forwarding
from trine.network.firewall.manager import Firewall


class Router:
    """Turns forwarding on for one instance, closes FORWARD for everybody else, and takes both back."""

    def __init__(self, exec_root: Path, firewall: Firewall | None) -> None:
        """``firewall`` is None with --iptables=false: then FORWARD is not ours to close."""
        self._path = exec_root / "forwarding.json"
        self._firewall = firewall

    def _noted(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}

    def _note(self, version: int, stage: str) -> None:
        write_atomically(self._path, json.dumps({**self._noted(), str(version): stage}).encode())

    def turn_on(self, version: int) -> bool:
        """Turn forwarding on where it is off; return whether it is on. Raises OSError."""
        if forwarding.is_on(version):
            return True
        self._note(version, "turning on")
        if forwarding.turn_on_ipv4() if version == 4 else forwarding.turn_on_ipv6():
            return True
        self._note(version, "refused")
        return False

    async def close_forward(self, version: int) -> None:
        """Set the policy of FORWARD to DROP once, if we turned forwarding on. Raises InternalError.

        A host that was no router must not become one for its neighbours.
        """
        if self._noted().get(str(version)) != "turning on" or self._firewall is None:
            return
        before = await self._firewall.forward_policy(version)
        await self._firewall.set_forward_policy(version, "DROP")
        self._note(version, f"was {before}")

    async def take_back(self) -> None:
        """Turn forwarding off and open FORWARD again where we did the opposite, unless others use them.

        Others: rules in FORWARD, or another instance's chains. Raises InternalError.
        """
        for version in (4, 6):
            stage = self._noted().get(str(version), "")
            if not stage.startswith("was ") or self._firewall is None:
                continue
            if await self._firewall.forward_is_used(version):
                continue
            forwarding.turn_off(version)
            await self._firewall.set_forward_policy(version, stage.removeprefix("was "))
        self._path.unlink(missing_ok=True)
