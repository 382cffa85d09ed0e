"""The hub: a set of namespaces with the API server, its controllers, DNS and the provisioner."""

import json
import os
import socket

from . import build, certificates
from .certificates import API_SERVER, certificate, key
from .sets import Set
from .settings import (
    ADMIN_KUBECONFIG,
    DNS_SERVICE,
    HUB,
    HUB_ADDRESS,
    MOST_NODES,
    POD_RANGE,
    SERVICE_RANGE,
    STATE,
    node_address,
    node_names,
    pod_range,
)
from .shell import await_true, run

BRIDGE = "nodes"
AUDIT_LOG = STATE / HUB / "logs/audit.log"
ETCD = "http://127.0.0.1:2379"
READY_SECONDS = 60

hub = Set(HUB)


def kubectl_command():
    """The words and the environment of kubectl as the host uses it: through the relay."""
    words = [build.components() / "kubectl", "--kubeconfig", ADMIN_KUBECONFIG]
    # What it learns of an API server it keeps in the user's home otherwise.
    return [str(word) for word in words], os.environ | {"KUBECACHEDIR": str(STATE / "kubectl")}


def kubectl(*arguments, timeout=30, **options):
    words, environment = kubectl_command()
    return run([*words, *arguments], timeout=timeout, env=environment, **options)


def create():
    """The set with its network, without any process of Kubernetes."""
    hub.create([build.helper(), "pause"])
    # Nodes start with a copy of these mounts; sockets and locks in /run would be the host's.
    hub.script(f"""
        mount -t tmpfs -o mode=755 run /run
        mkdir -p /run/lock
        hostname {HUB}
        ip link set lo up
        ip link add {BRIDGE} type bridge
        ip address add {HUB_ADDRESS}/24 dev {BRIDGE}
        ip link set {BRIDGE} up
        echo 1 >/proc/sys/net/ipv4/ip_forward
    """)
    # Known ahead, since a route may name a neighbour that is not there yet.
    routes = [
        f"ip route add {pod_range(node)} via {node_address(node)}"
        for node in node_names(MOST_NODES)
    ]
    hub.script("\n".join(routes))


def start():
    """Everything up to a ready API server, and what then runs on its own."""
    _start_relay()
    (STATE / "audit.json").write_text(json.dumps(_audit_policy()))
    program = build.components() / "components"
    hub.start("etcd", [program, "etcd", *_etcd_flags()])
    hub.start("kube-apiserver", [program, "kube-apiserver", *_api_server_flags()])
    await_api_server()
    hub.start("kube-controller-manager", [program, "kube-controller-manager", *_controller_flags()])
    scheduler = certificates.kubeconfig("kube-scheduler")
    hub.start(
        "kube-scheduler",
        [program, "kube-scheduler", f"--kubeconfig={scheduler}", "--leader-elect=false"],
    )
    admin = certificates.kubeconfig("admin")
    hub.start("provisioner", [program, "provisioner", f"--kubeconfig={admin}", f"--disks={STATE}"])
    _start_dns()
    kubectl(
        "apply",
        "-f",
        "-",
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": _objects()}),
    )


def await_api_server():
    def ready():
        hub.expect_running("etcd", "kube-apiserver")
        return (
            kubectl("get", "--raw", "/readyz", "--request-timeout=2s", check=False).returncode == 0
        )

    await_true("the API server is ready", ready, READY_SECONDS)


def _start_relay():
    """The only way from the host into the cluster: a socket made outside and used inside."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        number = listener.fileno()
        target = API_SERVER.removeprefix("https://")
        hub.start("relay", [build.helper(), "relay", number, target], inherited=[number])
        certificates.write_admin_kubeconfig(listener.getsockname()[1])


def _etcd_flags():
    return [
        f"--data-dir={STATE / 'etcd'}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        # A cluster for tests ends with its machine; waiting for a disk would only cost time.
        "--unsafe-no-fsync",
    ]


def _api_server_flags():
    return [
        f"--etcd-servers={ETCD}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={HUB_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={certificate('ca')}",
        f"--tls-cert-file={certificate('kube-apiserver')}",
        f"--tls-private-key-file={key('kube-apiserver')}",
        f"--kubelet-client-certificate={certificate('admin')}",
        f"--kubelet-client-key={key('admin')}",
        # By name they would have to be in DNS for exec and logs.
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={certificates.FOLDER / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={key('service-accounts')}",
        # Pods of a lost node move after seconds, where a real cluster takes five minutes.
        "--default-not-ready-toleration-seconds=15",
        "--default-unreachable-toleration-seconds=15",
        f"--audit-policy-file={STATE / 'audit.json'}",
        f"--audit-log-path={AUDIT_LOG}",
    ]


def _audit_policy():
    """Requests of pods that are to change something, each once, when it is answered. Kubernetes itself also
    uses accounts, in a namespace of its own."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {
                "level": "Metadata",
                "userGroups": ["system:serviceaccounts"],
                "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            },
            {"level": "None"},
        ],
    }


def _controller_flags():
    kubeconfig = certificates.kubeconfig("kube-controller-manager")
    return [
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={key('service-accounts')}",
        f"--root-ca-file={certificate('ca')}",
        f"--cluster-signing-cert-file={certificate('ca')}",
        f"--cluster-signing-key-file={key('ca')}",
        f"--cluster-cidr={POD_RANGE}",
        # Of one kind with the kubelet's lease and status times in `node.py`.
        "--node-monitor-period=2s",
        "--node-monitor-grace-period=12s",
    ]


def _start_dns():
    corefile = STATE / "Corefile"
    corefile.write_text(f""".:53 {{
    bind {HUB_ADDRESS}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {certificates.kubeconfig("admin")}
        ttl 5
    }}
    cache 5
}}
""")
    hub.start("coredns", [build.coredns(), "-conf", corefile])


def _objects():
    """DNS as a Service whose only endpoint is the hub, and a default class for volumes."""
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    name = {"name": "kube-dns", "namespace": "kube-system"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": name,
            "spec": {"clusterIP": DNS_SERVICE, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": name | {"labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [HUB_ADDRESS]}],
            "ports": ports,
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "local",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "test.local/provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    ]
