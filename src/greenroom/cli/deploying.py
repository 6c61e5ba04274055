"""The command deploy: the platform on AWS, or on any endpoint that answers like it."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from greenroom.cli.common import JsonOption, Panel, add_command, console, print_error, print_json
from greenroom.cli.errors import ExitCode


class Architecture(StrEnum):
    X86_64 = "x86_64"
    ARM64 = "arm64"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(
        app,
        Panel.AWS,
        deploy,
        "greenroom deploy --region eu-central-1",
        "greenroom deploy --profile platform --prefix green-test",
        "greenroom deploy --tunable 'shop-*' --tunable checkout",
        "AWS_ENDPOINT_URL=http://127.0.0.1:4566 greenroom deploy      on an emulator",
    )


def deploy(  # noqa: PLR0913 -- a command's options
    prefix: Annotated[str, typer.Option(help="Name of the platform's stack, and first part of every name in it.")] = (
        "greenroom"
    ),
    region: Annotated[str | None, typer.Option(help="AWS region; by default that of the environment.")] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of the AWS configuration.")] = None,
    architecture: Annotated[Architecture, typer.Option(help="Of the platform's own functions.")] = Architecture.X86_64,
    tunable: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A function that `greenroom tune` may tune; * stands for any characters. May be given several times.",
        ),
    ] = None,
    tunable_payloads: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUCKET/KEY",
            help="Objects that a tuning's payloadS3 may name; * stands for any characters. May be given several times.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy the platform on AWS, or update it there: the same code that `greenroom up` deploys on this machine.

    Credentials are found as the AWS CLI finds them; AWS_ENDPOINT_URL names another endpoint. docs/aws.md says what to
    know before.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from greenroom.cli.local import progress_view
    from greenroom.deploy import BuildError, DeployError, PlatformSettings, deploy_platform

    try:
        with progress_view(console(stderr=True)) as report:
            deployment = deploy_platform(
                boto3.Session(profile_name=profile, region_name=region),
                PlatformSettings(
                    prefix=prefix,
                    architecture=architecture.value,
                    tunable=tunable,
                    tunable_payloads=tunable_payloads,
                ),
                endpoint_url=os.environ.get("AWS_ENDPOINT_URL"),
                on_progress=report,
            )
    except (BotoCoreError, ClientError, BuildError, DeployError) as error:
        print_error(str(error), hint="docs/aws.md says what deploying needs.")
        raise typer.Exit(ExitCode.FAILED) from None
    if as_json:
        print_json({"url": deployment.url, "token": deployment.token, "outputs": deployment.outputs})
        return
    out = console()
    out.print(f"The platform {deployment.prefix} is up in {deployment.region}, account {deployment.account_id}.")
    out.print(f"  export GREENROOM_URL='{deployment.url}'", soft_wrap=True)
    out.print(f"  export GREENROOM_TOKEN='{deployment.token}'", soft_wrap=True)
