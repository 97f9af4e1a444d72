//! The one integration-test binary.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

mod admin;
mod alert_thresholds;
mod alerts;
mod algorithm;
mod allocations;
mod architecture;
mod clients;
mod config;
mod connections;
mod durable;
mod envoy;
mod exactness;
mod fallback;
mod files;
mod grpc;
mod holds;
mod holds_in_memory;
mod holds_in_time;
mod holds_oracle;
mod http;
mod keys;
mod native;
mod oracle;
mod paths;
mod prices;
mod process;
mod products;
mod readme;
mod reference_additions;
mod reference_files;
mod reference_metadata;
mod reference_model;
mod refusals;
mod reload;
mod replay;
mod settings;
mod store_conformance;
mod store_memory;
mod store_parity;
mod store_redis;
mod support;
mod tallies;
mod usage_trail;
mod wire;
