"""Images without a registry or a container engine: the archive that `docker save` writes."""

import hashlib
import io
import json
import os
import pathlib
import platform
import tarfile

from .shell import ClusterError

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(archive, tag, files, entrypoint, user="", environment=()):
    """Writes an image of one layer to `archive`; equal inputs give equal bytes.

    `files` are pairs of absolute path in the image and path on this machine; folders are taken with
    all that is in them.
    """
    layer = _layer(files)
    config = json.dumps(_config(layer, entrypoint, user, environment), sort_keys=True).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps(
        [{"Config": name, "RepoTags": [_full(tag)], "Layers": ["layer.tar"]}]
    ).encode()
    with tarfile.open(archive, "w") as image:
        for entry, content in ((name, config), ("layer.tar", layer), ("manifest.json", manifest)):
            image.addfile(_plain(tarfile.TarInfo(entry), len(content)), io.BytesIO(content))


def _full(tag):
    if "/" not in tag or "." not in tag.split("/")[0]:
        raise ClusterError(
            f"image name {tag!r} needs a domain, such as test.local/{tag}: the node would add one"
        )
    return tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"


def _config(layer, entrypoint, user, environment):
    machine = platform.machine()
    return {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {
            "Entrypoint": list(entrypoint),
            "User": user,
            "Env": list(environment),
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }


def _layer(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as layer:
        parents = set()
        for path, source in files:
            target = pathlib.PurePosixPath(path.lstrip("/"))
            for parent in reversed(target.parents[:-1]):
                if parent not in parents:
                    folder = tarfile.TarInfo(str(parent))
                    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                    layer.addfile(_plain(folder, 0))
                    parents.add(parent)
            _add(layer, str(target), pathlib.Path(source))
    return buffer.getvalue()


def _add(layer, target, source):
    entry = layer.gettarinfo(source, target)
    if entry is None:
        raise ClusterError(f"{source} is neither file, link nor folder")
    _plain(entry, entry.size)
    if entry.isreg():
        with open(source, "rb") as content:
            layer.addfile(entry, content)
    else:
        layer.addfile(entry)
    if entry.isdir():
        for child in sorted(os.listdir(source)):
            _add(layer, f"{target}/{child}", source / child)


def _plain(entry, size):
    entry.size, entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = size, 0, 0, 0, "", ""
    return entry
