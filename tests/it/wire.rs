//! The messages, compared with those that Envoy 1.40 itself carries: names, numbers, types.

use std::collections::BTreeMap;
use std::io::{BufRead, Cursor};

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tollgate::transport::grpc::DESCRIPTORS;

use crate::support::tools::Tool;

/// Every message, enum and service of a file as text, by full name.
type Shapes = BTreeMap<String, Vec<String>>;

#[test]
fn names_numbers_and_types_are_envoys() {
    let ours = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let envoy = std::fs::read(Tool::Envoy.path()).unwrap();
    let (mut files, mut compared) = (0, 0);
    for file in ours.file.iter().filter(|file| file.package().starts_with("envoy.")) {
        let theirs = shapes(&carried(&envoy, file.name()));
        files += 1;
        for (name, shape) in shapes(file) {
            assert_eq!(Some(&shape), theirs.get(&name), "{name}");
            compared += shape.len();
        }
    }
    assert_eq!((files, compared), (4, 53), "files and the fields, values and methods in them");
}

/// The descriptor of the file `name` inside the program `envoy`. It begins with the name and ends where nothing
/// follows that a descriptor could hold.
fn carried(envoy: &[u8], name: &str) -> FileDescriptorProto {
    let name_field =
        FileDescriptorProto { name: Some(name.to_owned()), ..Default::default() }.encode_to_vec();
    let mut reader = Cursor::new(envoy);
    let mut skipped = Vec::new();
    while reader.read_until(name_field[0], &mut skipped).unwrap() > 0 {
        skipped.clear();
        let start = usize::try_from(reader.position()).unwrap() - 1;
        // The package is the second field; the name alone also stands in the lists of imports.
        let rest = &envoy[start..];
        if rest.starts_with(&name_field) && rest.get(name_field.len()) == Some(&0x12) {
            return FileDescriptorProto::decode(&rest[..length(rest)]).unwrap();
        }
    }
    panic!("this Envoy carries no {name}");
}

/// How long the file descriptor is that `bytes` begin with.
fn length(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        let here = bytes.len() - rest.len();
        let Ok(tag) = prost::encoding::decode_varint(&mut rest) else { return here };
        let (field, kind) = (tag >> 3, tag & 7);
        let is_second_name = field == 1 && here > 0;
        if is_second_name || kind != 2 || !(1..=12).contains(&field) {
            return here;
        }
        match prost::encoding::decode_varint(&mut rest).map(usize::try_from) {
            Ok(Ok(size)) if size <= rest.len() => rest = &rest[size..],
            _ => return here,
        }
    }
}

fn shapes(file: &FileDescriptorProto) -> Shapes {
    let mut shapes = Shapes::new();
    for message in &file.message_type {
        add_message(&mut shapes, file.package(), message);
    }
    for values in &file.enum_type {
        add_enum(&mut shapes, file.package(), values);
    }
    for service in &file.service {
        let method = |method: &prost_types::MethodDescriptorProto| {
            let streams = (method.client_streaming(), method.server_streaming());
            format!("{}({}) -> {} {streams:?}", method.name(), method.input_type(), method.output_type())
        };
        shapes.insert(
            format!("{}.{}", file.package(), service.name()),
            service.method.iter().map(method).collect(),
        );
    }
    shapes
}

fn add_message(shapes: &mut Shapes, parent: &str, message: &DescriptorProto) {
    let name = format!("{parent}.{}", message.name());
    let mut fields: Vec<_> = message.field.iter().collect();
    fields.sort_unstable_by_key(|field| field.number());
    let field = |field: &&prost_types::FieldDescriptorProto| {
        let choice =
            field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).unwrap()));
        let kind = format!("{:?} {:?} {}", field.label(), field.r#type(), field.type_name());
        format!("{} {} {kind} {:?}", field.number(), field.name(), choice.map(|choice| choice.name()))
    };
    shapes.insert(name.clone(), fields.iter().map(field).collect());
    for nested in &message.nested_type {
        add_message(shapes, &name, nested);
    }
    for nested in &message.enum_type {
        add_enum(shapes, &name, nested);
    }
}

fn add_enum(shapes: &mut Shapes, parent: &str, values: &EnumDescriptorProto) {
    let mut numbers: Vec<_> = values.value.iter().map(|value| (value.number(), value.name())).collect();
    numbers.sort_unstable();
    let lines = numbers.iter().map(|(number, name)| format!("{number} {name}")).collect();
    shapes.insert(format!("{parent}.{}", values.name()), lines);
}
