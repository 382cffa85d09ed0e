"""The scenarios, in the order in which they run."""

from . import (  # noqa: F401
    first_message, brokers, name_servers, changes, topics, groups, keeping,
    manifests, releases, operator, operator_kills, monitoring,
)
