"""The cluster's certificate authority, its clients' certificates and their kubeconfigs.

For tests on one machine: who can read the state folder, root alone, can read the keys.
"""

import base64
import json

from .settings import ADMIN_KUBECONFIG, API_SERVICE, HUB_ADDRESS, STATE, node_address
from .shell import run

FOLDER = STATE / "certificates"
DAYS = "30"
API_SERVER = f"https://{HUB_ADDRESS}:6443"
API_NAMES = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
]


def key(name):
    return FOLDER / f"{name}.key"


def certificate(name):
    return FOLDER / f"{name}.crt"


def create(nodes):
    """Makes whatever is not there yet, so that a cluster can grow."""
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
    _authority()
    addresses = [f"DNS:{name}" for name in [*API_NAMES, "localhost"]]
    addresses += [f"IP:{address}" for address in ("127.0.0.1", HUB_ADDRESS, API_SERVICE)]
    _issue("kube-apiserver", "/CN=kube-apiserver", addresses)
    # The API server also shows the admin's certificate to kubelets, for exec and logs.
    _issue("admin", "/O=system:masters/CN=admin")
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        _issue(name, f"/CN=system:{name}")
    for node in nodes:
        names = [f"DNS:{node}", f"IP:{node_address(node)}"]
        _issue(node, f"/O=system:nodes/CN=system:node:{node}", names)
    _service_account_key()


def _authority():
    if not certificate("ca").exists():
        run(
            [
                "openssl",
                "req",
                "-x509",
                *_new_key("ca"),
                "-subj",
                "/CN=rocketkube-test-ca",
                "-days",
                DAYS,
            ]
            + [
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
                "-out",
                certificate("ca"),
            ]
        )


def _new_key(name):
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key(name)]


def _issue(name, subject, addresses=()):
    """A certificate that serves as client's, and at the given addresses as server's."""
    if certificate(name).exists():
        return
    request, extensions = FOLDER / f"{name}.csr", FOLDER / f"{name}.extensions"
    lines = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth,serverAuth"]
    if addresses:
        lines.append("subjectAltName=" + ",".join(addresses))
    extensions.write_text("\n".join(lines) + "\n")
    run(["openssl", "req", "-new", *_new_key(name), "-subj", subject, "-out", request])
    partial = FOLDER / f"{name}.partial"
    run(
        [
            "openssl",
            "x509",
            "-req",
            "-in",
            request,
            "-extfile",
            extensions,
            "-days",
            DAYS,
            "-out",
            partial,
        ]
        + ["-CA", certificate("ca"), "-CAkey", key("ca"), "-set_serial", f"0x{_serial()}"]
    )
    kubeconfig(name).write_text(_kubeconfig(name, API_SERVER, embed=False))
    # Last: a certificate that exists has all that belongs to it.
    partial.rename(certificate(name))


def _serial():
    return run(["openssl", "rand", "-hex", "8"]).stdout.strip()


def _service_account_key():
    if not (FOLDER / "service-accounts.pub").exists():
        run(
            ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
            + ["-out", key("service-accounts")]
        )
        run(
            [
                "openssl",
                "pkey",
                "-in",
                key("service-accounts"),
                "-pubout",
                "-out",
                FOLDER / "service-accounts.pub",
            ]
        )


def kubeconfig(name):
    """The file by which a component of the cluster finds and convinces the API server."""
    return FOLDER / f"{name}.kubeconfig"


def write_admin_kubeconfig(host_port):
    # Embedded, so that a test may copy the file to where it likes.
    ADMIN_KUBECONFIG.write_text(_kubeconfig("admin", f"https://127.0.0.1:{host_port}", embed=True))
    ADMIN_KUBECONFIG.chmod(0o600)


def _kubeconfig(name, server, embed):
    """JSON is YAML."""
    user = _file_field("client-certificate", certificate(name), embed)
    user |= _file_field("client-key", key(name), embed)
    cluster = {"server": server} | _file_field("certificate-authority", certificate("ca"), embed)
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "rocketkube", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [
                {"name": "rocketkube", "context": {"cluster": "rocketkube", "user": name}}
            ],
            "current-context": "rocketkube",
        },
        indent=2,
    )


def _file_field(field, path, embed):
    if not embed:
        return {field: str(path)}
    return {f"{field}-data": base64.b64encode(path.read_bytes()).decode()}
