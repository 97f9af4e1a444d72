//! What is limited: loaded before anyone is served.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::settings::{InputPlace, Inputs};
use crate::config::source::{Compiled, SameDomain, Source, compile};
use crate::limits::LimitsHandle;

/// Loads what `inputs` name.
pub(super) fn load(inputs: &Inputs) -> anyhow::Result<LimitsHandle> {
    let compiled = compile_all(inputs)?;
    for warning in compiled.warnings.iter() {
        tracing::warn!("{warning}");
    }
    Ok(LimitsHandle::new(compiled.rules))
}

/// Compiles what `inputs` name.
pub(super) fn compile_all(inputs: &Inputs) -> anyhow::Result<Compiled> {
    let paths = match &inputs.place {
        InputPlace::Files(files) => files.clone(),
        InputPlace::Runtime(runtime) => {
            vec![runtime.root.join(&runtime.subdirectory).join(&runtime.app_directory)]
        }
    };
    let mut sources = Vec::new();
    for path in paths {
        read(&path, &mut sources)?;
    }
    let same_domain = if inputs.merge_domains { SameDomain::Merge } else { SameDomain::Refuse };
    Ok(compile(&sources, same_domain)?)
}

fn read(path: &Path, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    let context = || format!("cannot read {}", path.display());
    if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(context)?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        return paths.iter().filter(|path| path.is_file()).try_for_each(|path| read(path, sources));
    }
    let text = std::fs::read_to_string(path).with_context(context)?;
    sources.push(Source { name: path.display().to_string().into(), text });
    Ok(())
}
