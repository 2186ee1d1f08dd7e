"""The backend for legacy hosts: python-iptables (libiptc) in the one thread that calls it.

libiptc reads a whole table, changes the copy and writes it back. Two writers at once lose rules, so
the lock of iptables(8), /run/xtables.lock, is held from reading to writing; python-iptables does not
take it itself. Not thread-safe (4 threads crash): the caller runs one thread.

IPv4 only: libxtables registers an extension's targets for the one family that was current when it
loaded it, so after IPv4's MASQUERADE the same process "can't find target MASQUERADE" for IPv6.
ip6tables-legacy-restore does IPv6, which is rare.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from trine.kit.errors import InternalError
from trine.network.firewall import changes as ch
from trine.network.firewall.changes import Actual, Change
from trine.network.firewall.restore import RestoreBackend
from trine.network.rules import Rule

_LOCK = os.environ.get("XTABLES_LOCKFILE", "/run/xtables.lock")


@contextmanager
def _xtables_lock() -> Iterator[None]:
    descriptor = os.open(_LOCK, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _plain(value: str) -> str:
    """python-iptables writes a negation without the space."""
    return value.replace("! ", "!")


class LegacyBackend:
    """Tables of ip_tables through libiptc."""

    name = "iptables-legacy"
    variant = "legacy"

    def __init__(self) -> None:
        """Load libiptc (190 ms). Raises InternalError when it cannot be loaded."""
        try:
            import iptc
        except Exception as error:  # its loading fails in many ways
            raise InternalError(f"python-iptables: {error}", reason="FIREWALL") from error
        self._iptc: Any = iptc
        self._programs = RestoreBackend("legacy")

    def read(self, version: int) -> Actual:
        """Return everybody's rules, by iptables-legacy-save. Raises InternalError."""
        return self._programs.read(version)

    def apply(self, version: int, changes: Sequence[Change]) -> None:
        """Make all changes of a table, or none. Raises InternalError."""
        if version == 6:
            self._programs.apply(version, changes)
            return
        tables: dict[str, list[Change]] = {}
        for change in changes:
            tables.setdefault(change.table, []).append(change)
        for name, part in tables.items():
            with _xtables_lock():
                self._apply_table(name, part)

    def _apply_table(self, name: str, changes: Sequence[Change]) -> None:
        table = None
        change = changes[0]
        try:
            table = self._iptc.Table(name, autocommit=False)
            table.autocommit = False
            table.refresh()
            for change in changes:
                self._apply_change(table, change)
            table.commit()
        except Exception as error:
            what = change.rule.text() if change.rule is not None else ""
            raise InternalError(
                f"iptables-legacy: {change.verb} {name} {change.chain} {what}: {error}".rstrip(),
                reason="FIREWALL",
            ) from error
        finally:
            if table is not None:
                try:
                    table.refresh()
                except Exception:  # the next use opens it again
                    pass

    def _apply_change(self, table: Any, change: Change) -> None:
        if change.verb == ch.NEW_CHAIN:
            table.create_chain(change.chain)
        elif change.verb == ch.DELETE_CHAIN:
            table.delete_chain(change.chain)
        elif change.verb == ch.POLICY:
            table.set_policy(change.chain, change.policy)
        elif change.rule is not None:
            chain = self._iptc.Chain(table, change.chain)
            rule = self._build(change.rule)
            if change.verb == ch.INSERT:
                chain.insert_rule(rule)
            elif change.verb == ch.APPEND:
                chain.append_rule(rule)
            else:
                chain.delete_rule(rule)

    def _build(self, rule: Rule) -> Any:
        built = self._iptc.Rule()
        if rule.source:
            built.src = _plain(rule.source)
        if rule.destination:
            built.dst = _plain(rule.destination)
        if rule.in_interface:
            built.in_interface = _plain(rule.in_interface)
        if rule.out_interface:
            built.out_interface = _plain(rule.out_interface)
        if rule.protocol:
            built.protocol = rule.protocol
        if rule.states:
            built.create_match("conntrack").ctstate = rule.states
        if rule.destination_type:
            built.create_match("addrtype").dst_type = _plain(rule.destination_type)
        if rule.destination_port:
            built.create_match(rule.protocol).dport = str(rule.destination_port)
        target = built.create_target(rule.target)
        if rule.to:
            target.to_destination = rule.to
        return built
