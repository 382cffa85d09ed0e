"""What outlives its objects: messages, offsets, brokers without an operator."""

from harness.clients import GO, JAVA, Client
from harness.history import History
from harness.namespace import broker_set, consumer_group, topic
from harness.scenario import scenario
from harness.shell import equal, holds, until


def send(namespace, name, count, topic_name="t"):
    """Sends so many messages, and returns their keys."""
    words = ["produce", "-namesrv", "orders-namesrv:9876", "-topic", topic_name, "-name", name, "-count", count]
    return set(History.read(Client(namespace, name, GO, command=["/load"], args=words).end(90)).acked)


def receive(namespace, name, group, wanted, comes_back=False):
    """Receives with a group until these keys were there, and returns what came.

    In Java if the group comes back: the Go client sends its last commits in small pieces, does not wait for the
    answers, and resets the connection if one came meanwhile, so that some commits never leave its machine.
    """
    namespace.apply(consumer_group(group))
    namespace.until_condition("ConsumerGroup", group)
    if comes_back:
        client = Client(namespace, name, JAVA, args=["Load", "consume", "orders-namesrv:9876", "t", group])
    else:
        words = ["consume", "-namesrv", "orders-namesrv:9876", "-topic", "t", "-name", group]
        client = Client(namespace, name, GO, command=["/load"], args=words)
    client.until_says(60, "it received them", lambda lines: wanted <= set(History.read(lines).got))
    return set(History.read(client.stop()).got)


@scenario("E28", "a BrokerSet that is deleted and made again has its messages and its groups' offsets")
def made_again(run):
    namespace = run.namespace
    namespace.apply(broker_set(), topic("t"))
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    namespace.until_condition("Topic", "t")
    read = send(namespace, "first", 50)
    equal("received", read, receive(namespace, "reader", "readers", read, comes_back=True))
    unread = send(namespace, "second", 50)
    namespace.delete("BrokerSet", "orders")
    until(120, "its pods are gone", lambda: not namespace.broker_pods())
    equal("claims", ["data-orders-b0-0"], [one["metadata"]["name"] for one in namespace.list("pvc")])
    namespace.apply(broker_set())
    run.measure("ready again after", namespace.until_condition("BrokerSet", "orders", seconds=120))
    namespace.until_condition("Topic", "t")
    third = send(namespace, "third", 10)
    # The group goes on where it was; what it had is not given to it again.
    equal("received", unread | third, receive(namespace, "reader-again", "readers", unread | third))
    # And the first messages are still there, for a group that has not read them.
    equal("received", read | unread | third, receive(namespace, "other", "others", read | unread | third))


@scenario("E29", "hibernate takes all pods and gives them back with everything; pause keeps hands off")
def hibernate_and_pause(run):
    namespace = run.namespace
    namespace.apply(broker_set(), topic("t"))
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    namespace.until_condition("Topic", "t")
    read = send(namespace, "first", 50)
    equal("received", read, receive(namespace, "reader", "readers", read, comes_back=True))
    unread = send(namespace, "second", 20)
    namespace.patch("BrokerSet", "orders", {"spec": {"hibernate": True}})
    selector = {"mq.rocketkube.dev/brokerset": "orders"}
    _, seconds = until(120, "all pods are gone", lambda: not namespace.pods(**selector))
    run.measure("asleep after", seconds)
    namespace.until_condition("BrokerSet", "orders", "False", 30, reason="Hibernated")
    namespace.patch("BrokerSet", "orders", {"spec": {"hibernate": False}})
    run.measure("awake after", namespace.until_condition("BrokerSet", "orders", seconds=120))
    equal("received", unread, receive(namespace, "reader-again", "readers", unread))

    paused = {"metadata": {"annotations": {"mq.rocketkube.dev/paused": "true"}}}
    namespace.patch("BrokerSet", "orders", paused)
    until(30, "the pause is noticed", lambda: "Paused" in str(namespace.get("BrokerSet", "orders")["status"]))
    namespace.patch("BrokerSet", "orders", {"spec": {"groups": 2}})
    holds(10, "nothing is made while paused", lambda: len(namespace.broker_pods()) == 1)
    namespace.patch("BrokerSet", "orders", {"metadata": {"annotations": {"mq.rocketkube.dev/paused": None}}})
    until(60, "the second group is made", lambda: len(namespace.broker_pods()) == 2)
    namespace.until_condition("BrokerSet", "orders", seconds=60)
