"""The page with all settings of the chart, made from the comments of its values.yaml."""

import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
VALUES = HERE / "rocketkube/values.yaml"
PAGE = HERE.parent / "docs/kubernetes/values.md"
HEAD = """\
<!-- Made from the comments in charts/rocketkube/values.yaml by `charts/test --update`. -->
# Settings of the chart

For `--set NAME=VALUE`, or nested in a file for `--values FILE`. One that is misspelt or of the wrong type is refused by Helm.
They are about the operator; what brokers are like is said by [BrokerSets](reference.md).

| Setting | Default | Meaning |
|---|---|---|
"""


def settings():
    """Path, default and comment of each setting."""
    # What stands in front of the first empty line is about the file.
    text = VALUES.read_text().partition("\n\n")[2]
    for block in re.findall(r"((?:^#.*\n)*)^(\w+):(.*)\n((?:^ .*\n)*)", text, flags=re.M):
        comment, name, value, inside = block
        children = re.findall(r"((?:^ +#.*\n)*)^ +(\w+):(.*)\n", inside, flags=re.M)
        if any(above for above, *_ in children):
            if comment:
                yield name, "", plain(comment)
            for above, child, default in children:
                yield f"{name}.{child}", default.strip(), plain(above)
        else:
            parts = ", ".join(f"{child}:{default}" for _, child, default in children)
            yield name, f"{{{parts}}}" if parts else value.strip(), plain(comment)


def plain(comment):
    return " ".join(line.strip(" #") for line in comment.splitlines())


def page():
    rows = []
    for path, default, comment in settings():
        default = f"`{default}`" if default else ""
        rows.append(f"| `{path}` | {default} | {comment} |\n".replace("|  |", "| |"))
    return HEAD + "".join(rows)
