//! Prices with a comma where a point belongs. Between braces YAML reads `output: 10,00` as a price of 10 and, behind it, a
//! key `00` without a value: both are told as the one mistake that they are. Nothing is read here that is right.

use std::collections::HashMap;

use super::no_price;
use crate::config::diagnostic::{Field, Position, Report};
use crate::config::yaml::{Duplicate, Kind, Node};
use crate::money::{InvalidDecimal, NanoUsd};

/// The numbers of a file's prices, each by the place where a key begins that only a comma cuts off from it.
pub(in crate::config::tollgate_file) struct Numbers<'n>(HashMap<Position, &'n Node>);

impl<'n> Numbers<'n> {
    /// Those below `prices`, if there are any.
    pub(in crate::config::tollgate_file) fn below(prices: Option<&'n Node>) -> Self {
        let mut found = Self(HashMap::new());
        prices.into_iter().for_each(|prices| found.add(prices));
        found
    }

    fn add(&mut self, node: &'n Node) {
        match &node.kind {
            Kind::Map(entries) => entries.iter().for_each(|(_, value)| self.add(value)),
            Kind::List(items) => items.iter().for_each(|item| self.add(item)),
            Kind::Scalar { .. } => self.0.extend(behind_comma(node).map(|at| (at, node))),
        }
    }

    /// Whether the key that stands twice does so because two prices have the same decimals behind a comma. Reports the second
    /// then; the first is reported with its model.
    pub(in crate::config::tollgate_file) fn refuse(
        &self,
        duplicate: &Duplicate,
        report: &mut Report,
    ) -> bool {
        let number = self.0.get(&duplicate.again).filter(|_| is_number(&duplicate.key));
        if let Some(number) = number {
            refuse(number, &duplicate.key, report);
        }
        number.is_some()
    }
}

/// The `fields` that are no part of a price. Reports the prices that the others are cut off from.
pub(super) fn without_decimals<'n>(fields: Vec<Field<'n>>, report: &mut Report) -> Vec<Field<'n>> {
    let mut whole: Vec<Field<'n>> = Vec::with_capacity(fields.len());
    for field in fields {
        let cut_off = field.value.is_null() && is_number(field.name);
        let before = whole.last().filter(|before| cut_off && behind_comma(before.value) == Some(field.at));
        match before {
            Some(before) => refuse(before.value, field.name, report),
            None => whole.push(field),
        }
    }
    whole
}

/// Where a key begins that only a comma cuts off from `node`, if that is a number.
fn behind_comma(node: &Node) -> Option<Position> {
    let digits = node.literal().filter(|text| is_number(text))?;
    Some(Position { column: node.at.column + digits.len() + 1, ..node.at })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn refuse(number: &Node, decimals: &str, report: &mut Report) {
    let text = format!("{},{decimals}", number.literal().unwrap_or_default());
    no_price(number.at, &text, InvalidDecimal::Form, report);
}

/// How the price `text` is written without its comma: with a point, or with nothing where it parts thousands.
pub(super) fn fix(text: &str) -> Option<String> {
    let (before, behind) = text.split_once(',')?;
    let is_price = |text: &String| NanoUsd::parse_decimal(text).is_ok();
    let decimal = Some(format!("{before}.{behind}")).filter(is_price);
    let has_thousands = behind.split('.').next().is_some_and(|digits| digits.len() == 3);
    let thousands = Some(format!("{before}{behind}")).filter(|text| has_thousands && is_price(text));
    match (decimal, thousands) {
        (Some(decimal), Some(thousands)) => Some(format!("write {decimal}, or {thousands}")),
        (Some(only), None) | (None, Some(only)) => Some(format!("write {only}")),
        (None, None) => None,
    }
}
