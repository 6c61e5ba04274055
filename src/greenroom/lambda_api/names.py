"""How functions and layers are named: by name, by a part of their ARN, by all of it, with a qualifier or without."""

from __future__ import annotations

import re
from dataclasses import dataclass

from greenroom.lambda_api.errors import denied, invalid, not_found

LATEST = "$LATEST"

_REFERENCE = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:)?(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[a-zA-Z0-9-_.]+)(?::(?P<qualifier>\$?[a-zA-Z0-9-_.]+))?"
)
"""The form of a FunctionName in AWS's model."""


@dataclass(frozen=True)
class Home:
    """The one account and region that this Lambda serves."""

    account: str
    region: str

    def function_arn(self, name: str, qualifier: str | None = None) -> str:
        """Return a function's ARN, of one version or alias if there is a qualifier."""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{name}{f':{qualifier}' if qualifier else ''}"

    def layer_arn(self, name: str, version: int | None = None) -> str:
        """Return a layer's ARN, of one version if there is one."""
        return f"arn:aws:lambda:{self.region}:{self.account}:layer:{name}{f':{version}' if version else ''}"


def split_reference(home: Home, reference: str, qualifier: str | None = None) -> tuple[str, str | None]:
    """Return the function's name and the qualifier that a reference and a parameter Qualifier name.

    Raises:
        LambdaError: the reference is of another region or account, or the two qualifiers differ.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise not_found(f"Function not found: {reference}")
    if match["region"] and match["region"] != home.region:
        raise not_found(f"Functions from '{match['region']}' are not reachable in this region ('{home.region}')")
    if match["account"] and match["account"] != home.account:
        raise denied(None)
    if match["qualifier"] and qualifier and match["qualifier"] != qualifier:
        raise invalid("The derived qualifier from the function name does not match the specified qualifier.")
    return match["name"], qualifier or match["qualifier"]


def is_version(qualifier: str) -> bool:
    """Return whether a qualifier is a version's number or $LATEST, and not an alias's name."""
    return qualifier == LATEST or qualifier.isdigit()


def layer_name(reference: str) -> str:
    """Return a layer's name from its name or ARN."""
    return reference.split(":")[6] if reference.startswith("arn:") else reference
