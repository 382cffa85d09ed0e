"""Asks a broker to take one message, as often as it needs to be ready.

Speaks as much remoting as that takes: a tool that has to be started for each try would be measured
with the broker.
"""

import json
import socket
import struct
import time

SEND_MESSAGE_V2 = 310
SUCCESS = 0
# Much shorter than the shortest start, so that the tries do not round it up.
PAUSE_SECONDS = 0.001


def send_frame(topic, body):
    fields = {"a": "bench-start", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0",
              "g": str(int(time.time() * 1000)), "h": "0", "i": "", "j": "0", "k": "false",
              "m": "false"}
    header = json.dumps({"code": SEND_MESSAGE_V2, "language": "JAVA", "version": 493, "opaque": 1,
                         "flag": 0, "extFields": fields}).encode()
    return struct.pack(">ii", 4 + len(header) + len(body), len(header)) + header + body


def receive_exactly(connection, count):
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionError("closed by the broker")
        data += chunk
    return data


def send_once(broker, topic="bench-start"):
    """Sends one message; returns the response code."""
    host, port = broker.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(send_frame(topic, b"first"))
        length, header_length = struct.unpack(">ii", receive_exactly(connection, 8))
        rest = receive_exactly(connection, length - 4)
    return json.loads(rest[:header_length & 0xFFFFFF])["code"]


def await_send(broker, begin, patience, process=None):
    """Seconds from `begin` (monotonic) until the broker accepted a message."""
    while True:
        try:
            accepted = send_once(broker) == SUCCESS
        except OSError:
            accepted = False
        seconds = time.monotonic() - begin
        # Also after a success: another broker on this port would have answered as well.
        if process and process.poll() is not None:
            raise SystemExit(f"the broker ended with status {process.returncode} while starting")
        if accepted:
            return seconds
        if time.monotonic() - begin > patience:
            raise SystemExit(f"no message accepted by {broker} within {patience} s")
        time.sleep(PAUSE_SECONDS)
