//! Which files are read: named ones, those of directories, and those that the reference would find.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tollgate::config::files::read;
use tollgate::config::settings::{InputPlace, RuntimeSettings};

/// A directory with `files`, each holding its own path.
fn directory(files: &[&str]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    (directory, root)
}

/// The paths that are read below `root`.
fn names(root: &Path, place: &InputPlace) -> Vec<String> {
    let sources = read(place).unwrap_or_else(|found| panic!("{found}"));
    let below = |name: &str| Path::new(name).strip_prefix(root).unwrap().display().to_string();
    sources.iter().map(|source| below(&source.name)).collect()
}

fn runtime(root: &Path, watch_root: bool, ignore_dot_files: bool) -> InputPlace {
    InputPlace::Runtime(RuntimeSettings {
        root: root.join("data"),
        subdirectory: "ratelimit".into(),
        app_directory: "config".into(),
        watch_root,
        ignore_dot_files,
    })
}

#[test]
fn named_files_and_directories() {
    let (_kept, root) = directory(&["b.yaml", "a.yml", "c.txt", ".d.yaml", "below/e.yaml", "odd"]);
    symlink(root.join("b.yaml"), root.join("z.yaml")).unwrap();
    symlink(root.join("nowhere"), root.join("y.yaml")).unwrap();
    let place = |paths: &[&str]| InputPlace::Files(paths.iter().map(|path| root.join(path)).collect());
    for (paths, expected) in [
        (vec![""], vec!["a.yml", "b.yaml"]),
        (vec!["below", "odd", "below/e.yaml"], vec!["below/e.yaml", "odd"]),
        (vec!["z.yaml", ""], vec!["z.yaml", "a.yml"]),
    ] {
        assert_eq!(names(&root, &place(&paths)), expected, "{paths:?}");
    }
}

#[test]
fn what_the_reference_would_find() {
    let (_kept, root) = directory(&[
        "data/ratelimit/config/b.yaml",
        "data/ratelimit/config/a",
        "data/ratelimit/config/deeper/c.conf",
        "data/ratelimit/config/.hidden.yaml",
        "data/ratelimit/config/.git/d.yaml",
        "data/ratelimit/config/..2026/e.yaml",
        "data/ratelimit/config.yaml",
        "data/ratelimit/configured/f.yaml",
        "data/ratelimit/other/config/g.yaml",
    ]);
    symlink("..2026", root.join("data/ratelimit/config/..data")).unwrap();
    symlink("..data/e.yaml", root.join("data/ratelimit/config/e.yaml")).unwrap();
    let config = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("data/ratelimit/{name}")).collect()
    };
    let below = ["config/a", "config/b.yaml", "config/deeper/c.conf", "config/e.yaml"];
    let hidden = ["config/.git/d.yaml", "config/.hidden.yaml"];
    let all: Vec<&str> = hidden.iter().chain(&below).copied().collect();
    for (watch_root, ignore_dot_files, expected) in [
        (false, true, config(&below)),
        (false, false, config(&all)),
        (true, true, config(&[&below[..], &["config.yaml"]].concat())),
        (true, false, config(&[&all[..], &["config.yaml"]].concat())),
    ] {
        let found = names(&root, &runtime(&root, watch_root, ignore_dot_files));
        assert_eq!(found, expected, "watching the root {watch_root}, ignoring dots {ignore_dot_files}");
    }
}

#[test]
fn everything_that_cannot_be_read_is_named() {
    let (_kept, root) = directory(&["empty/none.txt", "good.yaml"]);
    fs::write(root.join("latin.yaml"), b"# Ca\ndomain: caf\xe9\n").unwrap();
    let place = |paths: &[&str]| InputPlace::Files(paths.iter().map(|path| root.join(path)).collect());
    for (place, parts) in [
        (
            place(&["gone.yaml", "good.yaml", "empty"]),
            vec!["gone.yaml: there is no such", "empty: the directory holds no"],
        ),
        (place(&["latin.yaml"]), vec!["latin.yaml:2:12: byte 16 is not UTF-8; save the file as UTF-8"]),
        (runtime(&root, true, false), vec!["data/ratelimit: there is no such"]),
        (runtime(&root, false, false), vec!["data/ratelimit/config: there is no such"]),
    ] {
        let found = read(&place).unwrap_err().to_string();
        for part in parts {
            assert!(found.contains(part), "{part} in {found}");
        }
    }
}

#[test]
fn what_is_no_regular_file_or_too_large_is_refused() {
    let (_kept, root) = directory(&["good.yaml", "folder/a.yaml", "data/config/a.yaml"]);
    for pipe in ["pipe.yaml", "folder/pipe.yaml", "data/config/pipe"] {
        assert!(Command::new("mkfifo").arg(root.join(pipe)).status().unwrap().success(), "{pipe}");
    }
    fs::File::create(root.join("large.yaml")).unwrap().set_len(16 * 1024 * 1024 + 1).unwrap();
    let place = |path: &str| InputPlace::Files(vec![root.join("good.yaml"), root.join(path)]);
    let runtime = |watch_root| {
        InputPlace::Runtime(RuntimeSettings {
            root: root.join("data"),
            subdirectory: PathBuf::new(),
            app_directory: "config".into(),
            watch_root,
            ignore_dot_files: false,
        })
    };
    let regular = "it is no regular file; put the limits into a regular file";
    for (place, name, message) in [
        (place("pipe.yaml"), "pipe.yaml", regular),
        (place("folder"), "folder/pipe.yaml", regular),
        (runtime(true), "data/config/pipe", regular),
        (runtime(false), "data/config/pipe", regular),
        (place("/dev/zero"), "/dev/zero", regular),
        (place("large.yaml"), "large.yaml", "it is larger than 16 MiB; split it into several files"),
    ] {
        let name = root.join(name).display().to_string();
        assert_eq!(read(&place).unwrap_err().to_string(), format!("{name}: {message}"));
    }
    fs::File::options().write(true).open(root.join("large.yaml")).unwrap().set_len(16 * 1024 * 1024).unwrap();
    assert_eq!(read(&place("large.yaml")).unwrap()[1].text.len(), 16 * 1024 * 1024);
}

#[test]
fn a_slash_before_a_directory_of_the_reference_begins_at_its_root() {
    let (_kept, root) = directory(&["data/ratelimit/config/a.yaml"]);
    for (subdirectory, app_directory) in
        [("/ratelimit", "config"), ("ratelimit/", "/config/"), ("//ratelimit", "//config")]
    {
        for watch_root in [true, false] {
            let place = InputPlace::Runtime(RuntimeSettings {
                root: root.join("data"),
                subdirectory: subdirectory.into(),
                app_directory: app_directory.into(),
                watch_root,
                ignore_dot_files: false,
            });
            assert_eq!(
                names(&root, &place),
                ["data/ratelimit/config/a.yaml"],
                "{subdirectory} {app_directory}"
            );
        }
    }
}
