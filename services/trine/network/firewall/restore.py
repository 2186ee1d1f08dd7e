"""The backend for nft hosts: ``iptables-nft-save`` and ``iptables-nft-restore --noflush``.

One restore is one batch; the kernel takes a table's part whole or not at all. The same code drives the
legacy programs where python-iptables cannot be loaded.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from trine.kit.errors import InternalError
from trine.network.firewall import changes as ch
from trine.network.firewall.changes import Actual, Change

_OPTIONS = {ch.INSERT: "-I", ch.APPEND: "-A", ch.DELETE: "-D"}


def render(changes: Sequence[Change]) -> str:
    """Return the input of iptables-restore for a list of changes, table by table, order kept."""
    tables: dict[str, list[str]] = {}
    for change in changes:
        lines = tables.setdefault(change.table, [])
        if change.verb == ch.NEW_CHAIN:
            lines.append(f"-N {change.chain}")
        elif change.verb == ch.DELETE_CHAIN:
            lines.append(f"-X {change.chain}")
        elif change.verb == ch.POLICY:
            lines.append(f"-P {change.chain} {change.policy}")
        elif change.rule is not None:
            lines.append(f"{_OPTIONS[change.verb]} {change.chain} {change.rule.text()}")
    return "".join(f"*{table}\n" + "\n".join(lines) + "\nCOMMIT\n" for table, lines in tables.items())


def start_dns_redirect(variant: str, address: str, port: int) -> subprocess.Popen[str]:
    """Redirect port 53 of ``address`` to ``port`` in the network namespace this thread is in.

    So a container may bind 0.0.0.0:53 for a server of its own. Returns the running program: go on
    with other work, then call ``finish_dns_redirect``. Raises OSError.
    """
    rules = "".join(
        f"-A OUTPUT -d {address}/32 -p {protocol} -m {protocol} --dport 53 "
        f"-j DNAT --to-destination {address}:{port}\n"
        for protocol in ("udp", "tcp")
    )
    program = subprocess.Popen(
        [f"iptables-{variant}-restore", "--noflush", "-w", "10"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None
    try:
        program.stdin.write(f"*nat\n{rules}COMMIT\n")
        program.stdin.close()
    except OSError:  # it ended already: its exit status tells
        pass
    program.stdin = None
    return program


def finish_dns_redirect(program: subprocess.Popen[str]) -> str:
    """Wait for the program; return what it complained about, empty when all is well."""
    _, complaint = program.communicate(timeout=60)
    return (complaint.strip() or f"exit status {program.returncode}") if program.returncode else ""


class RestoreBackend:
    """iptables-restore of one variant, "nft" or "legacy"."""

    def __init__(self, variant: str) -> None:
        """Programs are found in PATH."""
        self.variant = variant
        self.name = f"iptables-{variant}"

    def _run(self, version: int, verb: str, arguments: Sequence[str], text: str = "") -> str:
        program = f"{'iptables' if version == 4 else 'ip6tables'}-{self.variant}-{verb}"
        try:
            done = subprocess.run(
                [program, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InternalError(f"{program}: {error}", reason="FIREWALL") from error
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["failed"]
            raise InternalError(
                f"{program}: {lines[0].removeprefix(program).lstrip(': ')}", reason="FIREWALL"
            )
        return done.stdout

    def read(self, version: int) -> Actual:
        """Return everybody's rules. Raises InternalError."""
        return ch.parse_save(self._run(version, "save", []))

    def apply(self, version: int, changes: Sequence[Change]) -> None:
        """Make all changes of a table, or none. Raises InternalError.

        A program that deleted something ends only after an RCU grace period for each table (14 ms on
        the machine this was written on); one program for each table, side by side, is not faster.
        """
        if changes:
            self._run(version, "restore", ["--noflush", "-w", "10"], render(changes))
