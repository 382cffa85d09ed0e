"""Consumer groups: what their objects declare, what they tell, and where they go on."""

import datetime
import time

from harness import clients
from harness.clients import Client
from harness.history import History
from harness.namespace import broker_set, consumer_group, topic
from harness.scenario import scenario
from harness.shell import Failure, equal, expect, holds, until

NAMESRV = "orders-namesrv:9876"
# A status is written at most once a minute.
TOLD = 100


def produce(namespace, name, count):
    """Sends so many messages, and returns their keys."""
    words = ["produce", "-namesrv", NAMESRV, "-topic", "t", "-name", name, "-count", count, "-rate", 200]
    lines = clients.run_to_end(namespace, f"{name}-produce", clients.GO, 60, command=["/load"], args=words)
    return set(History.read(lines).acked)


def consume(namespace, name):
    """A stock Java consumer of the group `readers`."""
    return Client(namespace, name, clients.JAVA, args=["Load", "consume", NAMESRV, "t", "readers"])


def times(consumer):
    """How often each message was received."""
    return {key: len(places) for key, places in History.read(consumer.lines()).got.items()}


def until_received(consumer, wanted, seconds=60):
    def ask():
        seen = times(consumer)
        if seen != wanted:
            raise Failure(f"{len(seen)} keys, {sum(seen.values())} messages of {sum(wanted.values())}")
        return True

    return until(seconds, f"{consumer.name} has received {sum(wanted.values())}", ask)[1]


def lag_becomes(namespace, messages):
    def ask():
        seen = namespace.get("ConsumerGroup", "readers")["status"].get("lag", {})
        if seen.get("total") != messages:
            raise Failure(f"the lag is {seen}")
        return True

    return until(TOLD, f"the status tells a lag of {messages}", ask)[1]


def reset(namespace, request_id, state, **to):
    """Asks for a reset, waits until it is so, and returns what the status says of it."""
    wanted = {"requestID": request_id, "topic": "t", "timestamp": None, "allowOnline": None, **to}
    namespace.patch("ConsumerGroup", "readers", {"spec": {"offsetReset": wanted}})

    def ask():
        last = namespace.get("ConsumerGroup", "readers")["status"].get("lastReset", {})
        if (last.get("requestID"), last.get("state")) != (request_id, state):
            raise Failure(f"the last reset is {last}")
        return last

    return until(40, f"{request_id} is {state}", ask)


@scenario("E23", "a consumer group obeys its object, tells its lag, and is reset once for each request")
def group_life(run):
    namespace = run.namespace
    namespace.apply(broker_set(), topic("t", queues=2), consumer_group("readers"))
    for kind, name in (("BrokerSet", "orders"), ("Topic", "t"), ("ConsumerGroup", "readers")):
        namespace.until_condition(kind, name, seconds=120)
    early = produce(namespace, "early", 20)
    consumer = consume(namespace, "first")
    until_received(consumer, dict.fromkeys(early, 1))
    consumer.stop()
    # Timestamps of the API have whole seconds.
    between = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(seconds=1)
    until(10, "the second is over", lambda: time.time() > between.timestamp() + 0.1)
    late = produce(namespace, "late", 30)
    run.measure("the lag was told after", lag_becomes(namespace, len(late)))

    namespace.patch("ConsumerGroup", "readers", {"spec": {"enabled": False}})
    namespace.until_condition("ConsumerGroup", "readers")
    consumer = consume(namespace, "second")
    holds(15, "a group that is disabled receives nothing", lambda: not times(consumer))
    namespace.patch("ConsumerGroup", "readers", {"spec": {"enabled": True}})
    run.measure("received after it was enabled", until_received(consumer, dict.fromkeys(late, 1)))

    timestamp = between.strftime("%Y-%m-%dT%H:%M:%SZ")
    last, _ = reset(namespace, "careless", "Failed", to="Timestamp", timestamp=timestamp)
    expect("GroupOnline" in last["message"], str(last))
    last, seconds = reset(namespace, "again", "Succeeded", to="Timestamp", timestamp=timestamp, allowOnline=True)
    run.measure("reset after", seconds)
    equal("groups", [0], last["groupsDone"])
    run.measure("received again after", until_received(consumer, dict.fromkeys(late, 2)))
    # The same request, taken away and brought back, asks for nothing.
    namespace.patch("ConsumerGroup", "readers", {"spec": {"offsetReset": None}})
    namespace.until_condition("ConsumerGroup", "readers")
    reset(namespace, "again", "Succeeded", to="Timestamp", timestamp=timestamp, allowOnline=True)
    twice = dict.fromkeys(late, 2)
    holds(15, "nothing is received a third time", lambda: times(consumer) == twice)
    consumer.stop()

    reset(namespace, "offline", "Succeeded", to="Earliest")
    run.measure("the lag of an offline reset was told after", lag_becomes(namespace, len(early | late)))
    consumer = consume(namespace, "third")
    until_received(consumer, dict.fromkeys(early | late, 1))
    consumer.stop()
