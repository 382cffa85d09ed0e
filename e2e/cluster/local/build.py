"""Programs that the cluster is made of: Go modules built into a cache, and Debian packages."""

import hashlib
import os
import pathlib
import shutil
import tempfile

from .settings import CACHE, COREDNS, HELM, HERE, KUBERNETES
from .shell import ClusterError, lock, run

# On two cores with nothing cached, the largest takes five minutes.
BUILD_SECONDS = 3600
STRIP = "-s -w"
ALIASES = ("kubectl",)

# What each command or file comes from, under the names that Debian and Ubuntu give.
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "openssl": "openssl",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
}


def missing_packages():
    return sorted(
        {package for program, package in PACKAGES.items() if shutil.which(program) is None}
    )


def check_machine():
    """Fails with all that is missing at once."""
    if os.geteuid() != 0:
        raise ClusterError("this needs root: it makes namespaces, mounts and control groups")
    if missing := " ".join(missing_packages()):
        command = f"apt-get install --no-install-recommends -y {missing}"
        raise ClusterError(f"missing packages: {missing}\ninstall them with: {command}")


def components():
    """The folder with `components` and, by its name, kubectl."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    # Otherwise the server calls itself version 0, and clients hold features back.
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    version = "k8s.io/component-base/version"
    flags = _link_flags({f"{version}.{name}": value for name, value in values.items()})
    return _build_module("components", flags)


def helper():
    """The path of the static helper program."""
    return _build_module("helper", STRIP) / "helper"


def coredns():
    return _install("coredns", COREDNS) / "coredns"


def helm():
    """Its idea of the cluster's version decides what `helm lint` and `helm template` accept."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    values = {"internal/version.version": HELM.rpartition("@")[2]}
    for package in ("pkg/chartutil", "pkg/lint/rules"):
        values |= {f"{package}.k8sVersionMajor": major, f"{package}.k8sVersionMinor": minor}
    flags = _link_flags({f"helm.sh/helm/v3/{name}": value for name, value in values.items()})
    return _install("helm", HELM, flags) / "helm"


def _build_module(name, flags):
    source = HERE / name
    inputs = sorted([*source.glob("*.go"), source / "go.mod", source / "go.sum"])
    texts = [path.read_bytes() for path in inputs if path.exists()]
    command = ["go", "build", "-trimpath", "-ldflags", flags, "-o"]

    def build(folder):
        run(
            [*command, folder / name, "."], timeout=BUILD_SECONDS, cwd=source, env=_go_environment()
        )
        for alias in ALIASES if name == "components" else ():
            (folder / alias).symlink_to(name)

    return _cached(name, [*texts, flags.encode()], build)


def _link_flags(values):
    """Flags that leave out debugging tables and set these string variables."""
    return " ".join([STRIP, *(f"-X {name}={value}" for name, value in values.items())])


def _install(name, module, flags=STRIP):
    def build(folder):
        command = ["go", "install", "-trimpath", "-ldflags", flags, module]
        # Outside any module, or go would read that module's requirements.
        run(command, timeout=BUILD_SECONDS, cwd="/", env=_go_environment() | {"GOBIN": str(folder)})

    return _cached(name, [module.encode(), flags.encode()], build)


def _go_environment():
    """Static programs: they run in images and namespaces that have no C library."""
    if shutil.which("go") is None:
        raise ClusterError(
            "go is not installed; Kubernetes is built from source, with Go 1.24 or later"
        )
    return os.environ | {"CGO_ENABLED": "0"}


def _cached(name, inputs, build):
    """Builds once per inputs and Go version. The last step is a rename: what exists is complete."""
    digest = hashlib.sha256(run(["go", "env", "GOVERSION", "GOARCH"]).stdout.encode())
    for text in inputs:
        digest.update(hashlib.sha256(text).digest())
    folder = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    # Two runs may start at once; the second waits here and then finds the folder.
    with lock(CACHE, timeout=BUILD_SECONDS):
        if not folder.exists():
            print(f"building {name}, once", flush=True)
            partial = pathlib.Path(tempfile.mkdtemp(prefix="partial.", dir=CACHE))
            try:
                build(partial)
                partial.chmod(0o755)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder


def tools_folder():
    """A folder for PATH with kubectl and helm of versions that fit the cluster."""
    kubectl, chart_tool = components() / "kubectl", helm()
    digests = [program.parent.name.rpartition("-")[2] for program in (kubectl, chart_tool)]
    folder = CACHE / "-".join(["tools", *digests])
    folder.mkdir(exist_ok=True)
    for target in (kubectl, chart_tool):
        link = folder / target.name
        if not link.exists():
            link.symlink_to(target)
    return folder
