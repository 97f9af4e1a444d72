//! What several test files share: the programs around the service, started, driven and stopped.

pub(crate) mod bench;
pub(crate) mod books;
pub(crate) mod calling;
pub(crate) mod deciding;
pub(crate) mod embedded;
pub(crate) mod envoy;
pub(crate) mod gate;
pub(crate) mod generated;
pub(crate) mod gone;
pub(crate) mod holding;
pub(crate) mod holds_model;
pub(crate) mod http;
pub(crate) mod limit_calls;
pub(crate) mod limit_shop;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod recorded;
pub(crate) mod redis;
pub(crate) mod server;
pub(crate) mod serving;
pub(crate) mod setting;
pub(crate) mod together;
pub(crate) mod tools;
pub(crate) mod upstream;
pub(crate) mod webhook;
