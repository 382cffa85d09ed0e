"""The API server by HTTP: for many requests, each of which would cost a start of kubectl."""

import json
import subprocess
import urllib.error
import urllib.request

from .cluster import kubectl_process
from .shell import expect

GROUP = "/apis/mq.rocketkube.dev/v1alpha1"


class Api:
    """A way to the API server, for `with`: as its administrator."""

    def __enter__(self):
        self.process = kubectl_process("proxy", "--port=0", stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        expect("127.0.0.1:" in said, f"kubectl proxy says {said!r}")
        self.address = "http://" + said.split()[-1]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.process.stdout.close()

    def ask(self, method, path, body=None):
        """Status code and object of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)
