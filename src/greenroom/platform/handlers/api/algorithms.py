"""Algorithms: what is live, their queues, and the way back to an earlier release."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body

from greenroom.platform import production, queues, views
from greenroom.platform.handlers.api.app import route
from greenroom.platform.handlers.api.parameters import Author, Name, author_name
from greenroom.platform.services import services
from greenroom.wire import models


@route("GET", "/algorithms")
def list_algorithms() -> models.AlgorithmList:
    """List all algorithms."""
    found = services().registry.algorithms()
    return models.AlgorithmList(algorithms=views.algorithms_of(services(), found))


@route("GET", "/algorithms/<name>", errors=[HTTPStatus.NOT_FOUND])
def get_algorithm(name: Name) -> models.Algorithm:
    """Show one algorithm."""
    (found,) = views.algorithms_of(services(), [services().registry.algorithm(name)])
    return found


@route("GET", "/algorithms/<name>/queues", errors=[HTTPStatus.NOT_FOUND])
def get_queues(name: Name) -> models.AlgorithmQueues:
    """Count the messages that wait for an algorithm, and those that it could not handle."""
    return queues.of_algorithm(services(), services().registry.algorithm(name).name)


@route("POST", "/algorithms/<name>/rollback", errors=[HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT])
def roll_back(name: Name, body: Annotated[models.RollBack, Body()], author: Author = None) -> models.RolledBack:
    """Make an earlier release the live one again.

    A test that is under way goes on, and may go live afterwards.
    """
    return production.roll_back(services(), name, body, author=author_name(author))
