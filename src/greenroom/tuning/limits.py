"""What Lambda allows and gives, in figures.

Source: AWS Lambda Developer Guide, "Lambda quotas" and "Configure Lambda function memory"
(https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
"""

from __future__ import annotations

MIN_MEMORY_MB, MAX_MEMORY_MB = 128, 10_240
"""The bounds of MemorySize."""

FREE_EPHEMERAL_STORAGE_MB = 512
"""The size of /tmp that every function has, and that is not billed."""

FULL_VCPU_MB = 1769
"""The memory size at which a function has one vCPU."""

MAX_TIMEOUT_S = 900
"""The longest that a function runs."""

MAX_INIT_S = 10
"""The longest that an init phase runs before Lambda restarts it as part of the invocation."""
