"""Reads an uploaded package and registers it."""

from __future__ import annotations

import logging
from typing import Any

from greenroom.platform import ingest
from greenroom.platform.services import services

MAX_RECEIVE_COUNT = 3
"""How often a message is received before it is given up, as the ingest queue's redrive policy says in template.yaml."""

logger = logging.getLogger(__name__)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle upload events from the ingest queue, one message at a time."""
    failures = []
    for record in event["Records"]:
        try:
            for key in ingest.upload_keys(record["body"]):
                ingest.register(services(), key)
        except Exception as error:
            logger.exception("could not register the upload of message %s", record["messageId"])
            if int(record["attributes"]["ApproximateReceiveCount"]) < MAX_RECEIVE_COUNT:
                failures.append({"itemIdentifier": record["messageId"]})
            else:
                ingest.give_up(services(), record["body"], error)
    return {"batchItemFailures": failures}
