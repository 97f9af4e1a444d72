//! Compiles `proto/` without protoc.
//!
//! Callers see Envoy's types, with `string` for keys and values. The service decodes the same fields as bytes,
//! so that what a client of Envoy puts into a header can never make a call undecodable.

use std::{env, error::Error, fs, path::Path};

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

const PROTOS: [&str; 1] = ["proto/envoy/service/ratelimit/v3/rls.proto"];
const BYTES: [(&str, &[&str]); 2] = [("RateLimitRequest", &["domain"]), ("Entry", &["key", "value"])];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut protos = protox::compile(PROTOS, ["proto"])?;
    let mut shown = protos.clone();
    shown.file.iter_mut().for_each(|file| file.source_code_info = None);
    fs::write(Path::new(&env::var("OUT_DIR")?).join("descriptors.bin"), shown.encode_to_vec())?;
    read_as_bytes(&mut protos);
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .include_file("protos.rs")
        .compile_fds(protos)?;
    Ok(())
}

fn read_as_bytes(protos: &mut FileDescriptorSet) {
    protos.file.iter_mut().flat_map(|file| &mut file.message_type).for_each(read_message_as_bytes);
}

fn read_message_as_bytes(message: &mut DescriptorProto) {
    let wanted = BYTES.iter().find(|(name, _)| *name == message.name());
    let is_wanted = |field: &str| wanted.is_some_and(|(_, fields)| fields.contains(&field));
    message.field.iter_mut().filter(|field| is_wanted(field.name())).for_each(|f| f.set_type(Type::Bytes));
    message.nested_type.iter_mut().for_each(read_message_as_bytes);
}
