//! Who asks a limit the most.

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::top::ONE_IN;
use crate::store::Store;

use super::error::OperateError;
use super::who::{domain, limit_named};

/// How many are told, unless it is said.
const MOST: usize = 10;

/// Who asks this limit the most?
#[derive(Clone, Copy, Debug)]
pub struct TopOf<'a> {
    /// Of which domain; may be `None` where there is one.
    pub domain: Option<&'a [u8]>,
    /// The limit.
    pub limit: &'a [u8],
    /// How many at most; `None` for ten.
    pub most: Option<usize>,
}

/// Who asks a limit the most, as one instance has sampled it.
#[derive(Clone, Debug, PartialEq)]
pub struct TopConsumers {
    /// The domain.
    pub domain: Box<str>,
    /// The limit.
    pub limit: Box<str>,
    /// Since when it is counted; `None` if no call of it was looked at yet.
    pub since: Option<Timestamp>,
    /// One in so many calls is looked at.
    pub one_in: u64,
    /// The most busy first.
    pub consumers: Vec<Consumer>,
}

/// A key and a value of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPart {
    /// Such as `user`.
    pub key: Box<[u8]>,
    /// Any bytes.
    pub value: Box<[u8]>,
}

/// A subject that asks much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Who it is, as calls bring it.
    pub subject: Vec<SubjectPart>,
    /// How much it asks for, about: hits; of tokens and money, calls that ask whether any is left, or for some to be held.
    pub hits: u64,
    /// By how many that may be too many, beside what sampling misses.
    pub over_by: u64,
}

pub(super) fn top<S: Store>(engine: &Engine<S>, request: TopOf<'_>) -> Result<TopConsumers, OperateError> {
    let rules = engine.limits.load();
    let domain = domain(&rules, request.domain)?;
    let limit = domain.limit(limit_named(domain, request.limit)?);
    let told = engine.top.of(limit.identity, request.most.unwrap_or(MOST));
    let (since, consumers) = told.map_or((None, Vec::new()), |(since, told)| (Some(since), told));
    let (domain, limit) = (domain.name.clone(), limit.name.as_ref().into());
    Ok(TopConsumers { domain, limit, since, one_in: ONE_IN, consumers })
}
