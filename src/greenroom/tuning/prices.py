"""What Lambda and Step Functions charge: prices per region and architecture, and the cost of an invocation.

Not for a customer's discounts. The prices are list prices for on-demand use: no free tier, no Savings Plan, no
provisioned concurrency (a power value is tuned on demand; provisioned concurrency is billed for the time it is kept,
whatever the invocations do, so it does not change which size is best per invocation). Nothing here asks AWS: the
figures are constants with their date, and `Prices` can be replaced or changed with `dataclasses.replace`.

Source of the figures: the AWS Price List (offers AWSLambda, publication of 2026-09-19, and AmazonStates) and the price
pages https://aws.amazon.com/lambda/pricing/ and https://aws.amazon.com/step-functions/pricing/, as quoted in public
repositories, read on 2026-11-24.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from greenroom.tuning.limits import FREE_EPHEMERAL_STORAGE_MB

Architecture = Literal["x86_64", "arm64"]

PRICES_AS_OF = "2026-09-19"
PRICES_SOURCE = "https://aws.amazon.com/lambda/pricing/"

_MB_PER_GB = 1024
"""Lambda bills GB-seconds with 1 GB = 1024 MB."""

_DEFAULT_GB_SECOND_USD: dict[Architecture, float] = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
_DEFAULT_REQUEST_USD = 0.20e-6
_DEFAULT_STORAGE_GB_SECOND_USD = 0.0000000309
_DEFAULT_STATE_TRANSITION_USD = 0.000025

_LAMBDA_USD: dict[str, tuple[float, float, float]] = {
    "af-south-1": (0.0000221, 0.00001768, 0.27e-6),
    "ap-east-1": (0.00002292, 0.0000183, 0.28e-6),
    "ap-southeast-5": (0.000015, 0.000012, 0.18e-6),
    "eu-central-2": (0.0000183334, 0.0000146667, 0.22e-6),
    "eu-south-1": (0.0000195172, 0.0000156138, 0.23e-6),
    "il-central-1": (0.0000175, 0.000014, 0.21e-6),
    "me-central-1": (0.0000206667, 0.0000165334, 0.25e-6),
    "me-south-1": (0.0000206667, 0.0000165334, 0.25e-6),
}
"""By region: x86_64 per GB-second, arm64 per GB-second, per request. Every other region has the default."""

_STORAGE_GB_SECOND_USD: dict[str, float] = {
    "af-south-1": 0.0000000404,
    "ap-east-1": 0.0000000407,
    "ap-northeast-1": 0.000000037,
    "ap-northeast-2": 0.0000000352,
    "ap-northeast-3": 0.000000037,
    "ap-south-1": 0.0000000352,
    "ap-southeast-1": 0.000000037,
    "ap-southeast-2": 0.000000037,
    "ap-southeast-4": 0.000000037,
    "ap-southeast-5": 0.0000000333,
    "ca-central-1": 0.000000034,
    "eu-central-1": 0.0000000367,
    "eu-central-2": 0.0000000441,
    "eu-north-1": 0.0000000323,
    "eu-south-1": 0.0000000357,
    "eu-west-1": 0.000000034,
    "eu-west-2": 0.0000000358,
    "eu-west-3": 0.0000000358,
    "me-south-1": 0.0000000374,
    "sa-east-1": 0.0000000586,
    "us-west-1": 0.000000037,
}
_STATE_TRANSITION_USD: dict[str, float] = {
    "af-south-1": 0.00002975,
    "ap-east-1": 0.0000275,
    "ap-northeast-2": 0.0000271,
    "ap-south-1": 0.0000285,
    "eu-south-1": 0.00002625,
    "eu-west-3": 0.0000297,
    "me-south-1": 0.0000275,
    "sa-east-1": 0.0000375,
    "us-gov-east-1": 0.00003,
    "us-gov-west-1": 0.00003,
    "us-west-1": 0.0000279,
}
# fmt: off
_REGIONS_AT_DEFAULT = frozenset({
    "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1",
    "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ca-central-1", "ca-west-1", "eu-central-1", "eu-north-1",
    "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-gov-east-1",
    "us-gov-west-1", "us-west-1", "us-west-2",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices at which one function is billed, in US dollars.

    They are bound to the size of the function's /tmp, `ephemeral_storage_mb`, so that no cost is computed without it.
    `note` says what a reader has to know (that a default stands in for an unknown region), and is empty otherwise.
    """

    region: str
    architecture: Architecture
    gb_second_usd: float
    request_usd: float
    storage_gb_second_usd: float = _DEFAULT_STORAGE_GB_SECOND_USD
    state_transition_usd: float = _DEFAULT_STATE_TRANSITION_USD
    ephemeral_storage_mb: int = FREE_EPHEMERAL_STORAGE_MB
    as_of: str = PRICES_AS_OF
    source: str = PRICES_SOURCE
    note: str = ""

    def cost_usd(self, memory_mb: float, billed_duration_ms: float) -> float:
        """Return the cost in US dollars of one invocation: GB-seconds, one request, and /tmp above 512 MB.

        `billed_duration_ms` is the REPORT line's (which, since August 2025, holds the init phase of a cold start).
        """
        seconds = billed_duration_ms / 1000
        extra_storage_gb = max(0, self.ephemeral_storage_mb - FREE_EPHEMERAL_STORAGE_MB) / _MB_PER_GB
        return (
            gb_seconds(memory_mb, billed_duration_ms) * self.gb_second_usd
            + self.request_usd
            + extra_storage_gb * seconds * self.storage_gb_second_usd
        )

    def cost_usd_per_million(self, memory_mb: float, billed_duration_ms: float) -> float:
        """Return the cost in US dollars of a million such invocations."""
        return 1e6 * self.cost_usd(memory_mb, billed_duration_ms)


def gb_seconds(memory_mb: float, billed_duration_ms: float) -> float:
    """Return the GB-seconds that Lambda bills for one invocation (1 GB is 1024 MB)."""
    return memory_mb / _MB_PER_GB * billed_duration_ms / 1000


def prices_for(
    region: str, architecture: Architecture = "x86_64", *, ephemeral_storage_mb: int = FREE_EPHEMERAL_STORAGE_MB
) -> Prices:
    """Return the list prices of a region for a function of this architecture and with so much /tmp, in MB.

    Where the region is not known they are those of us-east-1, with a note. Raises ValueError for an architecture that
    Lambda does not have.
    """
    if architecture not in _DEFAULT_GB_SECOND_USD:
        raise ValueError(f"architecture {architecture!r} has no price: use one of {', '.join(_DEFAULT_GB_SECOND_USD)}")
    per_gb_second, per_request = _DEFAULT_GB_SECOND_USD[architecture], _DEFAULT_REQUEST_USD
    note = ""
    if region in _LAMBDA_USD:
        x86_64, arm64, per_request = _LAMBDA_USD[region]
        per_gb_second = x86_64 if architecture == "x86_64" else arm64
    elif region.startswith("cn-"):
        note = f"prices of us-east-1, for comparison only: {region} is billed in CNY at its own prices"
    elif region not in _REGIONS_AT_DEFAULT:
        note = f"prices of us-east-1: none are known for region {region!r}"
    return Prices(
        region=region,
        architecture=architecture,
        gb_second_usd=per_gb_second,
        request_usd=per_request,
        storage_gb_second_usd=_STORAGE_GB_SECOND_USD.get(region, _DEFAULT_STORAGE_GB_SECOND_USD),
        state_transition_usd=_STATE_TRANSITION_USD.get(region, _DEFAULT_STATE_TRANSITION_USD),
        ephemeral_storage_mb=ephemeral_storage_mb,
        note=note,
    )
