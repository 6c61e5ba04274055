"""Deploying the platform: builds its artifacts and creates or updates its stack, on the embedded AWS and on AWS alike.

`artifacts` turns installed sources into ZIPs and knows nothing of AWS; `stack` uploads them and deploys the stack.
"""

from greenroom.deploy.artifacts import BuildError
from greenroom.deploy.stack import DeployError, Deployment, PlatformSettings, deploy_platform

__all__ = ["BuildError", "DeployError", "Deployment", "PlatformSettings", "deploy_platform"]
