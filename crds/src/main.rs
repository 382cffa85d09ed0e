//! `crdgen` prints the custom resource definitions; `crdgen DIR FILE` writes them to files in a folder,
//! and what people read of them, the reference of their fields, to a file.

#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rocketkube_crds::generate::{definitions, file_name, yaml};
use rocketkube_crds::reference::markdown;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match &arguments[..] {
        [] => print(),
        [directory, reference] => write(directory.as_ref(), reference.as_ref()),
        _ => bail!("usage: crdgen [DIR FILE]"),
    }
}

fn print() -> anyhow::Result<()> {
    let documents = definitions().iter().map(yaml).collect::<Result<Vec<_>, _>>()?;
    let text = format!("---\n{}", documents.join("---\n"));
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn write(directory: &Path, reference: &Path) -> anyhow::Result<()> {
    for definition in definitions() {
        write_file(&directory.join(file_name(&definition)), &yaml(&definition)?)?;
    }
    write_file(reference, &markdown(&definitions()))
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
