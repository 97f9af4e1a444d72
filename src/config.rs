//! Rule sets and settings out of files and the environment.
//!
//! Files are read in three steps with three kinds of types: parsed as written, resolved by name, built into
//! [`crate::limits`]. What is wrong is reported with its place and its fix, all of it in one go. This room reads
//! no request and keeps no state.

pub mod cli;
pub mod diagnostic;
pub mod files;
mod native_domain;
mod price_table;
pub mod reference_file;
pub mod reload;
pub mod settings;
pub mod short_form;
pub mod source;
pub mod table;
mod tollgate_file;
pub mod yaml;
