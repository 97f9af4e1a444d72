//! Compiles `proto/` without protoc.
//!
//! Callers see Envoy's types, with `string` for keys and values. The service decodes the same fields as bytes,
//! so that what a client of Envoy puts into a header can never make a call undecodable.

use std::{env, error::Error, fs, path::Path};

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// What callers are served, and what operators are.
const CALLS: [&str; 2] = ["proto/envoy/service/ratelimit/v3/rls.proto", "proto/tollgate/v1/limit.proto"];
const ADMIN: [&str; 1] = ["proto/tollgate/v1/admin.proto"];
/// Texts that are read as bytes. Operators send text, but for subjects, which are the callers'.
const BYTES: [(&str, &[&str]); 8] = [
    ("RateLimitRequest", &["domain"]),
    ("Entry", &["key", "value"]),
    ("Subject", &["domain"]),
    ("EntriesEntry", &["key", "value"]),
    ("Usage", &["model"]),
    ("ReserveRequest", &["idempotency_key"]),
    ("SettleRequest", &["reservation", "idempotency_key"]),
    ("ReleaseRequest", &["reservation", "limit", "idempotency_key"]),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    show(&CALLS, "descriptors.bin")?;
    show(&ADMIN, "admin_descriptors.bin")?;
    let mut protos = protox::compile(CALLS.iter().chain(&ADMIN), ["proto"])?;
    read_as_bytes(&mut protos);
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .include_file("protos.rs")
        .compile_fds(protos)?;
    Ok(())
}

/// Writes down what `protos` look like to those who are served.
fn show(protos: &[&str], name: &str) -> Result<(), Box<dyn Error>> {
    let mut shown = protox::compile(protos, ["proto"])?;
    for file in &mut shown.file {
        file.source_code_info = None;
        // Of a file that others import there are its messages.
        if !protos.iter().any(|path| path.ends_with(file.name())) {
            file.service.clear();
        }
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join(name), shown.encode_to_vec())?;
    Ok(())
}

fn read_as_bytes(protos: &mut FileDescriptorSet) {
    protos.file.iter_mut().flat_map(|file| &mut file.message_type).for_each(read_message_as_bytes);
    protos.file.iter_mut().for_each(locate_maps);
}

fn read_message_as_bytes(message: &mut DescriptorProto) {
    let wanted = BYTES.iter().find(|(name, _)| *name == message.name());
    let is_wanted = |field: &str| wanted.is_some_and(|(_, fields)| fields.contains(&field));
    message.field.iter_mut().filter(|field| is_wanted(field.name())).for_each(|f| f.set_type(Type::Bytes));
    // A map has no keys of bytes. It travels as a list of entries, and is read as one.
    if wanted.is_some() {
        message.options = None;
    }
    message.nested_type.iter_mut().for_each(read_message_as_bytes);
}

/// Entries of maps stand nowhere in the text. Those that have become messages are documented like others, and so have to
/// have a place.
fn locate_maps(file: &mut FileDescriptorProto) {
    let Some(known) = &mut file.source_code_info else { return };
    for (message, path) in file.message_type.iter().zip(0..).map(|(message, index)| (message, [4, index])) {
        for (nested, index) in message.nested_type.iter().zip(0..) {
            let path = [&path[..], &[3, index]].concat();
            if known.location.iter().all(|location| location.path != path) {
                let fields = nested.field.iter().zip(0..).map(|(_, field)| [&path[..], &[2, field]].concat());
                let places: Vec<_> = fields.chain([path.clone()]).collect();
                known
                    .location
                    .extend(places.into_iter().map(|path| Location { path, ..Location::default() }));
            }
        }
    }
}
