"""What the value of a setting may be, and the file of a secret."""

import os
import re
import stat
from functools import cache
from typing import Literal
from zoneinfo import available_timezones

PREFIX = "CERTSYNC_"
"""What the name of every variable begins with."""
OidcAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Signatures with a public key. Those with a shared secret are left out: the provider's keys are public."""
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


@cache
def time_zones() -> frozenset[str]:
    """Return the names of the IANA database; without those that mean something else on each machine."""
    return frozenset(available_timezones() - {"Factory", "localtime"})


def check_timezone(name: str) -> str:
    """Return `name` if it is a zone of the IANA database, else raise ValueError with an example."""
    if name not in time_zones():
        raise ValueError("is not an IANA time zone; use a name such as America/New_York")
    return name


def check_origin(origin: str) -> str:
    """Return `origin` if a browser could send it, or if it is `*`, else raise ValueError with an example."""
    if origin != "*" and not ORIGIN.fullmatch(origin):
        raise ValueError("is not an origin; use https://erp.example.org, in lower case, without a path")
    return origin


def split_list(text: str) -> list[str]:
    """Return the values of a text that has commas, blanks or line ends between them."""
    return text.replace(",", " ").split()


def exposure(found: os.stat_result, user: int) -> str:
    """Return what is wrong with the owner or the rights of a file that holds a secret, and what to type.

    A group may read what root owns: that is how Kubernetes gives secrets to a pod (`fsGroup`), and how the
    access list that systemd gives a credential shows itself.
    """
    if found.st_uid not in (0, user):
        return f"belongs to neither root nor the service's user; type: chown {user} FILE"
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IRWXO | stat.S_IWGRP) or (mode & stat.S_IRGRP and found.st_uid != 0):
        return f"can be read or written by others (mode {mode:04o}); type: chmod 400 FILE"
    return ""
