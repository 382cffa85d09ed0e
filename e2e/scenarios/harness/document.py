"""What the documentation has people type."""

import re

from .cluster import ROOT, environment
from .shell import run

PAGES = ROOT / "docs/kubernetes"


def blocks(page, language):
    """Fenced blocks of a page that are in a language, in their order."""
    text = (PAGES / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def type_in(lines, seconds):
    """Types lines into a shell in the folder of the repository, and returns what they said."""
    shell = ["env", f"--chdir={ROOT}", "bash", "-euo", "pipefail", "-c"]
    return run(*shell, lines, timeout=seconds, stdin="", environment=environment())
