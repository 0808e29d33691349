"""The test of a destination: one request without records, whose answer is logged."""

import uuid

import structlog

from common.lifecycle.deliveries import StreamClaim
from ingestor.delivery.deliver import Sender, Tools
from ingestor.delivery.streams import Registered
from ingestor.delivery.verdicts import Kind, Sent, judge

log = structlog.get_logger(__name__)

MODE = "teste"


async def send_probe(tools: Tools, claim: StreamClaim, registered: Registered, sender: Sender) -> bool:
    """Send a request without records. Any answer of the destination's own is an answer, also one that refuses it.

    Raises:
        ProbeFailed: nothing answered, or the destination does not let us in.

    """
    stream = registered.stream
    answer = await sender.send(stream, stream.rendering.body([]), idempotency_key=uuid.uuid4(), attempt=1)
    verdict = judge(answer, Sent((), None, 1), None)
    status = str(answer.status if answer.failure is None else answer.failure)
    tools.metrics.requested(claim.destination, status, 0.0)
    log.info("destination answered", status=answer.status, failure=answer.failure, reason=verdict.reason or None)
    if verdict.kind in (Kind.FAULT, Kind.REPEAT, Kind.STOP):
        raise ProbeFailed(verdict.reason)
    return True


class ProbeFailed(Exception):
    """A destination has failed its test; the text says how."""
