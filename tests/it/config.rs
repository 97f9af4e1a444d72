//! Tollgate files: what they become, and what is said of those that are wrong.

use tollgate::config::source::{Compiled, SameDomain, Source, compile_in};

#[test]
fn products_load() {
    let text = include_str!("../data/products.yaml").to_owned();
    let source = Source { name: "products.yaml".into(), text };
    let Compiled { rules, .. } = compile_in(&|_| None, &[source], SameDomain::Refuse).unwrap();
    assert_eq!(rules.domains.len(), 4);
}
