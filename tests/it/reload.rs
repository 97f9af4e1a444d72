//! Changed files come into force by themselves, in whatever way they change; bad ones never do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tollgate::config::reload::{ReloadStatus, Reloader, load};
use tollgate::config::settings::{InputPlace, Inputs, RuntimeSettings};
use tollgate::limits::{LimitsHandle, describe};

/// A watcher of real files.
struct Watched {
    limits: LimitsHandle,
    status: watch::Receiver<ReloadStatus>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Watched {
    fn start(place: InputPlace) -> Self {
        let inputs = Inputs { place, merge_domains: false };
        let limits = LimitsHandle::default();
        let loaded = load(&inputs).unwrap_or_else(|found| panic!("{found}"));
        let reloader = Reloader::new(inputs, loaded, limits.clone());
        let (stop, stopped) = oneshot::channel();
        let status = reloader.status();
        let task = tokio::spawn(reloader.run(async move { drop(stopped.await) }));
        Self { limits, status, stop, task }
    }

    /// Waits until the limits in force read `expected`.
    async fn shows(&mut self, expected: &str) {
        let limits = self.limits.clone();
        let arrived = self
            .status
            .wait_for(|status| status.last_error.is_none() && describe(&limits.load()) == expected);
        let arrived = tokio::time::timeout(Duration::from_secs(20), arrived).await.is_ok();
        assert!(arrived, "in force is {:?}, not {expected:?}", describe(&self.limits.load()));
    }

    /// Waits until the files are refused with a message that has `part` in it.
    async fn complains(&mut self, part: &str) {
        let refused = |status: &ReloadStatus| {
            status.last_error.as_ref().is_some_and(|found| found.to_string().contains(part))
        };
        let told = tokio::time::timeout(Duration::from_secs(20), self.status.wait_for(refused)).await.is_ok();
        assert!(told, "no complaint about {part}: {:?}", self.status.borrow());
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

fn file(domain: &str, number: u32) -> String {
    format!(
        "domain: {domain}\ndescriptors:\n- {{key: k, rate_limit: {{unit: hour, requests_per_unit: {number}}}}}\n"
    )
}

fn line(domain: &str, number: u32) -> String {
    format!("{domain}.k: unit=HOUR requests_per_unit={number}, shadow_mode: false, quota_mode: false\n")
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    (directory, path)
}

#[tokio::test]
async fn written_renamed_added_and_removed_files() {
    let (_kept, path) = directory();
    fs::write(path.join("a.yaml"), file("a", 1)).unwrap();
    let mut watched = Watched::start(InputPlace::Files(vec![path.clone()]));
    watched.shows(&line("a", 1)).await;

    fs::write(path.join("a.yaml"), file("a", 2)).unwrap();
    watched.shows(&line("a", 2)).await;

    fs::write(path.join(".a.yaml.new"), file("a", 3)).unwrap();
    fs::rename(path.join(".a.yaml.new"), path.join("a.yaml")).unwrap();
    watched.shows(&line("a", 3)).await;

    fs::write(path.join("b.yml"), file("b", 4)).unwrap();
    watched.shows(&[line("a", 3), line("b", 4)].concat()).await;

    fs::remove_file(path.join("a.yaml")).unwrap();
    watched.shows(&line("b", 4)).await;
    assert_eq!(watched.status.borrow().generation, 5);
    watched.stop().await;
}

#[tokio::test]
async fn bad_files_leave_the_last_good_set_in_force() {
    let (_kept, path) = directory();
    let limits = path.join("limits.yaml");
    fs::write(&limits, file("a", 1)).unwrap();
    let mut watched = Watched::start(InputPlace::Files(vec![limits.clone()]));
    for (bad, part) in [
        ("domain: a\ndescriptors:\n- {key: k, ratelimit: {}}\n", "limits.yaml:3:12: unknown key 'ratelimit'"),
        ("domain: [\n", "limits.yaml:"),
    ] {
        fs::write(&limits, bad).unwrap();
        watched.complains(part).await;
        assert_eq!(describe(&watched.limits.load()), line("a", 1), "{bad}");
    }
    fs::remove_file(&limits).unwrap();
    watched.complains("there is no such file").await;
    assert_eq!(describe(&watched.limits.load()), line("a", 1));
    assert_eq!(watched.status.borrow().generation, 1);

    fs::write(&limits, file("a", 2)).unwrap();
    watched.shows(&line("a", 2)).await;
    assert_eq!(watched.status.borrow().generation, 2);
    watched.stop().await;
}

/// What the kubelet does to a mounted ConfigMap: a new directory, then one link is swapped.
fn mount(volume: &Path, version: &str, files: &[(&str, String)]) {
    fs::create_dir(volume.join(version)).unwrap();
    for (name, text) in files {
        fs::write(volume.join(version).join(name), text).unwrap();
        let link = volume.join(name);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    symlink(version, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

fn runtime(root: &Path, watch_root: bool) -> InputPlace {
    InputPlace::Runtime(RuntimeSettings {
        root: root.to_owned(),
        subdirectory: "ratelimit".into(),
        app_directory: "config".into(),
        watch_root,
        ignore_dot_files: false,
    })
}

#[tokio::test]
async fn mounted_volumes_whose_link_is_swapped() {
    for watch_root in [true, false] {
        let (_kept, root) = directory();
        let volume = root.join("ratelimit/config");
        fs::create_dir_all(&volume).unwrap();
        mount(&volume, "..2026_01_01", &[("limits.yaml", file("a", 1))]);
        let mut watched = Watched::start(runtime(&root, watch_root));
        watched.shows(&line("a", 1)).await;
        mount(&volume, "..2026_01_02", &[("limits.yaml", file("a", 2))]);
        watched.shows(&line("a", 2)).await;
        watched.stop().await;

        let mut watched = Watched::start(InputPlace::Files(vec![volume.clone()]));
        watched.shows(&line("a", 2)).await;
        mount(&volume, "..2026_01_03", &[("limits.yaml", file("a", 3)), ("more.yaml", file("b", 4))]);
        watched.shows(&[line("a", 3), line("b", 4)].concat()).await;
        watched.stop().await;
    }
}

#[tokio::test]
async fn a_root_that_is_itself_a_link() {
    let (_kept, path) = directory();
    for (version, number) in [("one", 1), ("two", 2)] {
        let config = path.join(version).join("ratelimit/config");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("limits"), file("a", number)).unwrap();
    }
    symlink("one", path.join("current")).unwrap();
    let mut watched = Watched::start(runtime(&path.join("current"), true));
    watched.shows(&line("a", 1)).await;
    symlink("two", path.join("next")).unwrap();
    fs::rename(path.join("next"), path.join("current")).unwrap();
    watched.shows(&line("a", 2)).await;
    watched.stop().await;
}

#[tokio::test]
async fn a_pipe_in_place_of_a_file_holds_nothing_up() {
    let (_kept, path) = directory();
    let file_path = path.join("a.yaml");
    fs::write(&file_path, file("a", 1)).unwrap();
    let mut watched = Watched::start(InputPlace::Files(vec![file_path.clone()]));
    watched.shows(&line("a", 1)).await;

    let pipe = path.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::rename(&pipe, &file_path).unwrap();
    watched.complains("it is no regular file").await;

    fs::write(path.join("new"), file("a", 2)).unwrap();
    fs::rename(path.join("new"), &file_path).unwrap();
    watched.shows(&line("a", 2)).await;
    watched.stop().await;
}
