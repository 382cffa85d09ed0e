"""The scenarios, in the order in which they run."""

from . import first_message, brokers, name_servers, changes, manifests, topics, keeping, operator, monitoring  # noqa: F401
