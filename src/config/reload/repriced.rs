//! Models whose past prices are not what they were: what is settled late costs something else than when it began, and the
//! versions that bills name are other ones.

use crate::prices::{Model, PriceTable};

/// The models of `before` whose prices `after` does not have, or not first.
pub(super) fn between<'b>(before: &'b PriceTable, after: &PriceTable) -> Vec<&'b str> {
    let is_kept = |old: &&Model| {
        let mut models = after.models().iter();
        models.any(|new| new.name == old.name && new.versions.starts_with(&old.versions))
    };
    before.models().iter().filter(|old| !is_kept(old)).map(|old| &*old.name).collect()
}

#[cfg(test)]
mod tests {
    use super::between;
    use crate::config::source::{SameDomain, Source, compile};
    use crate::prices::PriceTable;

    fn prices(models: &str) -> PriceTable {
        let source = Source { name: "prices.yaml".into(), text: format!("prices: {{models: {{{models}}}}}") };
        compile(&[source], SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}")).rules.prices
    }

    #[test]
    fn only_prices_that_are_added_behind_leave_the_past_alone() {
        let before = prices("a: {input: 1}, b: {input: 1}");
        for (after, repriced) in [
            ("b: {input: 1}, a: [{input: 1}, {from: 2026-01-01, input: 2}]", &[][..]),
            ("a: {input: 1, output: 1}, b: {input: 1.00}", &["a"]),
            ("a: {from: 2026-01-01, input: 1}, b: {input: 2}", &["a", "b"]),
            ("a: {input: 1}, B: {input: 1}", &["b"]),
        ] {
            assert_eq!(between(&before, &prices(after)), repriced, "{after}");
        }
        assert!(between(&PriceTable::default(), &before).is_empty());
    }
}
