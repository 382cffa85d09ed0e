//! `crdgen` prints the custom resource definitions; `crdgen DIR` writes them to files there.

#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rocketkube_crds::generate::{definitions, file_name, yaml};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match &arguments[..] {
        [] => print(),
        [directory] => write(directory.as_ref()),
        _ => bail!("usage: crdgen [DIR]"),
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

fn write(directory: &Path) -> anyhow::Result<()> {
    for definition in definitions() {
        let path = directory.join(file_name(&definition));
        std::fs::write(&path, yaml(&definition)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
