"""The program trine-network: flags, start, stop."""

from __future__ import annotations

import argparse
import asyncio
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trine.kit import logs, server
from trine.kit.errors import EngineError, InvalidArgumentError
from trine.network import ipam
from trine.network.service import NetworkProgram
from trine.network.state import Config

VERSION = "0.1.0"


def _boolean(text: str) -> bool:
    """Read a flag as Go's flag package does."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise argparse.ArgumentTypeError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parser() -> argparse.ArgumentParser:
    """Return the parser of trine-network's flags; they mean what dockerd's mean."""
    result = argparse.ArgumentParser(
        prog="trine-network", description="The network service of the Trine container engine."
    )
    flag = result.add_argument
    flag("--version", action="version", version=f"trine-network version {VERSION}")
    flag("--listen", default="", metavar="ADDRESS", help="unix:///path (default: <exec-root>/network.sock)")
    flag("--data-root", default="/var/lib/trine", metavar="DIR", help="persistent state, below network/")
    flag("--exec-root", default="/run/trine", metavar="DIR", help="state of running containers")
    flag("--group", default="", help="group that may use the socket")
    flag("--log-level", default="info", choices=sorted(logs.LEVELS), help="least level to log")
    flag("--log-format", default="text", choices=["text", "json"], help="how to log")
    flag("-b", "--bridge", default="", help='default bridge (trine0), "none": no default network')
    flag("--bip", default="", metavar="CIDR", help="address of the default bridge")
    flag(
        "--fixed-cidr", default="", metavar="CIDR", help="part of the default bridge's subnet for containers"
    )
    flag("--fixed-cidr-v6", default="", metavar="CIDR", help="IPv6 subnet of the default bridge")
    flag(
        "--default-address-pool",
        action="append",
        default=[],
        metavar="base=CIDR,size=N",
        help="where subnets of networks are cut from (repeatable)",
    )
    flag(
        "--dns",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="name server for containers (repeatable)",
    )
    flag("--mtu", type=int, default=0, help="MTU of networks (default 1500)")
    flag(
        "--firewall-backend",
        default="auto",
        choices=["auto", "nft", "legacy"],
        help="which iptables holds the rules",
    )
    for name, default, text in (
        ("ipv6", False, "IPv6 on the default bridge"),
        ("icc", True, "containers of the default bridge may talk to each other"),
        ("ip-forward", True, "turn IP forwarding on"),
        ("ip-masq", True, "masquerade what leaves the default bridge"),
        ("iptables", True, "make firewall rules"),
    ):
        flag(
            f"--{name}",
            type=_boolean,
            nargs="?",
            const=True,
            default=default,
            metavar="true|false",
            help=text,
        )
    flag(
        "--cleanup",
        action="store_true",
        help="remove this instance's bridges, rules, namespaces and port holder from the host, and exit",
    )
    return result


def configuration(arguments: argparse.Namespace) -> Config:
    """Turn flags into a Config. Raises InvalidArgumentError."""
    if arguments.mtu and not 68 <= arguments.mtu <= 65535:
        raise InvalidArgumentError(f"invalid MTU {arguments.mtu}: must be 68 to 65535")
    for server_address in arguments.dns:
        import ipaddress

        try:
            ipaddress.ip_address(server_address)
        except ValueError as error:
            raise InvalidArgumentError(f"{server_address} is not an ip address") from error
    pools = tuple(ipam.parse_default_pool(text) for text in arguments.default_address_pool)
    return Config(
        data_root=Path(arguments.data_root),
        exec_root=Path(arguments.exec_root),
        bridge=arguments.bridge,
        bip=arguments.bip,
        fixed_cidr=arguments.fixed_cidr,
        fixed_cidr_v6=arguments.fixed_cidr_v6,
        default_pools=pools or ipam.DEFAULT_POOLS,
        ipv6=arguments.ipv6,
        icc=arguments.icc,
        ip_forward=arguments.ip_forward,
        ip_masq=arguments.ip_masq,
        iptables=arguments.iptables,
        mtu=arguments.mtu or 1500,
        dns=tuple(arguments.dns),
        firewall_backend=arguments.firewall_backend,
    )


async def _serve(arguments: argparse.Namespace, config: Config) -> int:
    program: list[NetworkProgram] = []

    async def register(grpc_server: Any) -> Sequence[str]:
        from trine.network.servicer import NetworkServicer
        from trine.v1 import network_pb2, network_pb2_grpc

        found = NetworkProgram(config)
        await found.start()
        program.append(found)
        network_pb2_grpc.add_NetworkServiceServicer_to_server(NetworkServicer(found), grpc_server)
        return [network_pb2.DESCRIPTOR.services_by_name["NetworkService"].full_name]

    async def close() -> None:
        for one in program:
            await one.stop()

    listen = arguments.listen or f"unix://{config.exec_root}/network.sock"
    return await server.run(
        server.Service(
            name="trine-network",
            addresses=[listen],
            register=register,
            close=close,
            socket_group=server.group_id(arguments.group) if arguments.group else -1,
        )
    )


async def _clean(config: Config) -> int:
    await NetworkProgram(config).remove()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run trine-network; return the exit status: 0 stopped, 1 could not start."""
    arguments = parser().parse_args(argv)
    logs.configure(arguments.log_level, arguments.log_format)
    try:
        config = configuration(arguments)
        return asyncio.run(_clean(config) if arguments.cleanup else _serve(arguments, config))
    except EngineError as error:
        print(f"trine-network: {error.message}", file=sys.stderr)
    except OSError as error:
        print(f"trine-network: {error}", file=sys.stderr)
    except Exception as error:  # a damaged database, a host we do not understand: one line, not a trace
        logs.get_logger("network").debug("cannot start", trace=traceback.format_exc())
        text = " ".join(str(error).split())
        print(f"trine-network: cannot start: {type(error).__name__}: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
