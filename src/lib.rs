//! Tollgate decides whether a request may pass.
//!
//! # Layout
//!
//! The module list is the path of a request, read downwards:
//!
//! | room | what it knows |
//! |---|---|
//! | [`transport`] | the wires: gRPC, HTTP |
//! | [`engine`] | meaning: which limits a call touches, what its answer says |
//! | [`store`] | atomicity and time: counters in memory or in Redis |
//! | [`algorithm`] | arithmetic: what a charge does to a counter |
//! | [`limits`] | the compiled, immutable rule set |
//! | [`prices`] | what tokens cost, as part of that set |
//! | [`estimates`] | how many of them a call will use, as learned |
//!
//! [`config`] makes rule sets and settings out of files and the environment, [`admin`] is the operator's
//! listener, [`auth`] tells who may ask it what and [`audit`] records what they do, [`alerts`] tells people of limits that
//! are nearly used up, [`telemetry`] is the log, [`app`] builds everything and is the only room that knows every other.
//! [`clock`], [`calendar`], [`money`], [`nearest`], `hex` and `percent` are values that all may use.
//!
//! # Invariants
//!
//! - Over limit is a value, never an error.
//! - `algorithm` is pure; only `clock` asks for the time, but for deadlines of gRPC calls, which are
//!   by the runtime's timers; whoever owns a state owns its time.
//! - No tonic, prost or h2 type outside `transport/grpc`, no redis type outside `store/redis`, no redb type outside
//!   `store/durable`.
//! - One request sees one rule set. Settings flow down; only `app` knows everyone.

pub mod admin;
pub mod alerts;
pub mod algorithm;
pub mod app;
pub mod audit;
pub mod auth;
pub mod calendar;
pub mod clock;
pub mod config;
pub mod engine;
pub mod estimates;
mod hex;
pub mod limits;
pub mod money;
pub mod nearest;
mod percent;
pub mod prices;
pub mod store;
pub mod telemetry;
pub mod transport;
