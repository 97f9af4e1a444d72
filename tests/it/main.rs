//! The one integration-test binary.

mod settings;
mod support;
