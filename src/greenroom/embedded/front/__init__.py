"""The front: the one way into the embedded AWS. `application` says how a request goes."""

from greenroom.embedded.front.application import Front

__all__ = ["Front"]
