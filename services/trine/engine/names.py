"""Names for containers nobody named: an adjective and someone who helped computing along. Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from trine.kit.errors import InvalidArgumentError

_ADJECTIVES_TEXT = """
able agile airy amber ample apt artful avid balmy blithe bold brave breezy bright brisk calm candid
chatty cheery civil clean clear clever cosy crafty crisp curious dainty daring deft devout dreamy eager
earnest easy elated fair fancy fearless festive fine fleet fluent fond frank fresh friendly frosty
gallant gentle giddy glad gleaming golden graceful grand hardy hasty hearty helpful honest hopeful
humble jaunty jolly jovial joyful keen kind lively loyal lucid lucky mellow merry mighty mindful modest
neat nimble noble patient peaceful placid plucky polite proud quick quiet quirky radiant ready rosy
serene sharp shiny silent sincere sleek smart snug spirited spry steady sturdy sunny swift tender
thrifty tidy tranquil trusty upbeat valiant vivid warm wise witty zesty
"""
_ADJECTIVES = _ADJECTIVES_TEXT.split()
_SURNAMES_TEXT = """
abel aiken allen antonelli babbage backus banach bardeen bartik bell berners bernoulli bohr boole borg
bose brahe brattain cantor carson catmull cerf church clarke codd cohen conway cook cori curie dahl
darwin davies dijkstra dirac easley eckert einstein elion engelbart erdos estrin euclid euler fano
faraday feinler fermat fermi feynman floyd forsythe galileo galois gates gauss germain godel goldberg
gosling granville haibt hamilton hamming hawking hertz hilbert hoare holberton hopper hypatia iverson
jackson jennings johnson joliot kahn karp kay keller kepler kernighan khorana kilby kleene knuth
kovalevsky lalande lamarr lampson lamport lederberg leibniz lichterman liskov lovelace mauchly maxwell
mccarthy mcclintock meitner mendel milner minsky mirzakhani moore naur neumann newell newton noether
nygaard pascal perlis perlman postel ramanujan ride ritchie rubin sammet scott shannon shaw shockley
simon snyder stallman sutherland tarjan tesla thompson torvalds turing ullman varahamihira wescoff wiles
wilkes wilson wing wirth wozniak wu yalow yao zuse
"""
_SURNAMES = _SURNAMES_TEXT.split()

NAME_CHARACTERS = "[a-zA-Z0-9][a-zA-Z0-9_.-]"
# Docker wants two characters at least; one is taken here (tests/conformance/differences).
_VALID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")


def check_name(name: str) -> str:
    """Return a container name without its leading slash; raises InvalidArgumentError with Docker's text."""
    bare = name.removeprefix("/")
    if not _VALID.match(bare):
        shown = name.replace("\n", "\\n").replace("\r", "\\r")
        raise InvalidArgumentError(
            f"Invalid container name ({shown}), only {NAME_CHARACTERS} are allowed", reason="INVALID_NAME"
        )
    return bare


def generate_name(is_taken: Callable[[str], bool], source: random.Random | None = None) -> str:
    """Return a free name like jolly_gates; after some tries a digit is added."""
    pick = source or random.SystemRandom()
    for attempt in range(1000):
        name = f"{pick.choice(_ADJECTIVES)}_{pick.choice(_SURNAMES)}"
        if attempt >= 6:
            name += str(pick.randrange(10 ** (1 + attempt // 100)))
        if not is_taken(name):
            return name
    raise InvalidArgumentError("could not generate a free container name", reason="NO_FREE_NAME")
