//! The foreign programs that tests run against. `tests/tools` fetches them and writes their paths down; a variable of
//! the same name in the environment comes first. A missing program fails the test that needs it: no test skips.

use std::path::{Path, PathBuf};

/// A program made elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Envoy itself.
    Envoy,
    /// grpcurl, a gRPC client driven by reflection.
    Grpcurl,
    /// A Python with grpcio and the classes generated from Envoy's protos.
    Python,
    /// redis-server 6.2, the oldest that is supported.
    Redis,
    /// valkey-server 9.1.
    Valkey,
}

impl Tool {
    const fn variable(self) -> &'static str {
        match self {
            Self::Envoy => "TOLLGATE_TEST_ENVOY",
            Self::Grpcurl => "TOLLGATE_TEST_GRPCURL",
            Self::Python => "TOLLGATE_TEST_PYTHON",
            Self::Redis => "TOLLGATE_TEST_REDIS",
            Self::Valkey => "TOLLGATE_TEST_VALKEY",
        }
    }

    /// Where the program is. Panics, naming the command that fetches it, when it is nowhere.
    pub(crate) fn path(self) -> PathBuf {
        let name = self.variable();
        if let Some(path) = std::env::var_os(name) {
            return PathBuf::from(path);
        }
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/env");
        let text = std::fs::read_to_string(&list).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        PathBuf::from(
            found.unwrap_or_else(|| panic!("no {name} in {}: run tests/tools once", list.display())),
        )
    }
}

#[test]
fn every_tool_is_there() {
    for tool in [Tool::Envoy, Tool::Grpcurl, Tool::Python, Tool::Redis, Tool::Valkey] {
        assert!(tool.path().is_file(), "{tool:?} is not at {}: run tests/tools", tool.path().display());
    }
}
