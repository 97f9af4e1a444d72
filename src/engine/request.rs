//! A call as the engine takes it: borrowed from the wire, bytes throughout, and its bounds.

use smallvec::SmallVec;

use crate::clock::Micros;
use crate::limits::{Entry, MAX_AMOUNT, WireUnit};

/// The most descriptors of a call.
const MAX_DESCRIPTORS: usize = 32;
/// The most entries of a descriptor.
const MAX_ENTRIES: usize = 16;
/// The longest key of an entry, in bytes. Values have no bound: they are hashed whole.
const MAX_KEY_BYTES: usize = 64;
/// What Envoy 1.40 makes of a weight that a header gives as `NaN`. Whoever sends the header chooses it, so it is no error.
const NOT_A_NUMBER: u64 = 1 << 63;
/// The longest window of an override: ten thousand years, which is as long as a protobuf duration may be.
const LONGEST_WINDOW: Micros = Micros::from_secs(315_576_000_000);

/// May this pass?
#[derive(Clone, Debug, Default)]
pub struct CheckRequest<'a> {
    /// Which domain's limits apply.
    pub domain: &'a [u8],
    /// What is asked for, each answered by one status.
    pub descriptors: SmallVec<[Descriptor<'a>; 1]>,
    /// The weight of the call; 0 is unset and means 1.
    pub hits: u32,
}

/// One thing that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Descriptor<'a> {
    /// What it is, in order.
    pub entries: SmallVec<[Entry<'a>; 4]>,
    /// Its own weight, which beats the call's; 0 is a peek.
    pub hits: Option<u64>,
    /// Whether the hits are charged or given back.
    pub direction: Direction,
    /// A number that the caller brings along.
    pub number: Option<Override>,
}

/// Whether hits are charged or given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Charged.
    #[default]
    Charge,
    /// Given back (`is_negative_hits`).
    GiveBack,
}

/// A number that the caller brings along, in place of a configured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// How much is allowed.
    pub requests_per_unit: u32,
    /// The window's unit.
    pub unit: WireUnit,
    /// How many units the window is long; 0 is read as 1.
    pub multiplier: u32,
}

/// What is wrong with a request, by field. Only what an operator's configuration can get wrong is an error:
/// Envoy lets a call pass when its rate limiter answers with one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// No domain.
    #[error("domain: must not be empty")]
    NoDomain,
    /// No descriptors.
    #[error("descriptors: must not be empty")]
    NoDescriptors,
    /// Too many descriptors.
    #[error("descriptors: {0} given, at most 32 are taken")]
    TooManyDescriptors(usize),
    /// Too many entries.
    #[error("descriptors[{descriptor}].entries: {given} given, at most 16 are taken")]
    TooManyEntries {
        /// Which descriptor.
        descriptor: usize,
        /// How many entries it has.
        given: usize,
    },
    /// A key that is too long.
    #[error("descriptors[{descriptor}].entries[{entry}].key: {bytes} bytes long, at most 64 are taken")]
    LongKey {
        /// Which descriptor.
        descriptor: usize,
        /// Which entry.
        entry: usize,
        /// How long its key is.
        bytes: usize,
    },
    /// More hits than anything counts.
    #[error("descriptors[{descriptor}].hits_addend: {hits} is above the largest amount, 9007199254740991")]
    TooManyHits {
        /// Which descriptor.
        descriptor: usize,
        /// Its hits.
        hits: u64,
    },
    /// An override without a unit of time.
    #[error("descriptors[{descriptor}].limit.unit: must be SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR")]
    NoUnit {
        /// Which descriptor.
        descriptor: usize,
    },
    /// A descriptor of a native domain without entries.
    #[error("descriptors[{descriptor}].entries: must not be empty")]
    NoEntries {
        /// Which descriptor.
        descriptor: usize,
    },
    /// An entry of a native domain without a key.
    #[error("descriptors[{descriptor}].entries[{entry}].key: must not be empty")]
    EmptyKey {
        /// Which descriptor.
        descriptor: usize,
        /// Which entry.
        entry: usize,
    },
    /// An entry of a native domain whose key stood before.
    #[error("descriptors[{descriptor}].entries[{entry}].key: stands twice in the descriptor")]
    RepeatedKey {
        /// Which descriptor.
        descriptor: usize,
        /// Which entry.
        entry: usize,
    },
}

impl Override {
    /// How long its window is; longer ones than ten thousand years are that long.
    pub fn length(&self) -> Micros {
        let seconds = self.unit.seconds().saturating_mul(u64::from(self.multiplier.max(1)));
        Micros::from_secs(seconds).min(LONGEST_WINDOW)
    }
}

impl<'a> CheckRequest<'a> {
    /// Checks the bounds that hold in every domain.
    pub fn validate(&self) -> Result<(), InvalidRequest> {
        if self.domain.is_empty() {
            return Err(InvalidRequest::NoDomain);
        }
        match self.descriptors.len() {
            0 => return Err(InvalidRequest::NoDescriptors),
            given if given > MAX_DESCRIPTORS => return Err(InvalidRequest::TooManyDescriptors(given)),
            _ => {}
        }
        self.descriptors.iter().enumerate().try_for_each(|(index, descriptor)| descriptor.validate(index))
    }

    /// Every descriptor, with its weight.
    pub(super) fn asked(&self) -> impl Iterator<Item = (&Descriptor<'a>, u64)> {
        self.descriptors.iter().map(|descriptor| (descriptor, self.hits_of(descriptor)))
    }

    /// The weight of a descriptor: its own, else the call's, else 1. Nothing, if it gives back nobody knows how much.
    pub fn hits_of(&self, descriptor: &Descriptor<'_>) -> u64 {
        match descriptor.hits {
            Some(NOT_A_NUMBER) if descriptor.direction == Direction::GiveBack => 0,
            None | Some(NOT_A_NUMBER) => u64::from(self.hits.max(1)),
            Some(hits) => hits,
        }
    }
}

impl Descriptor<'_> {
    fn validate(&self, descriptor: usize) -> Result<(), InvalidRequest> {
        let given = self.entries.len();
        if given > MAX_ENTRIES {
            return Err(InvalidRequest::TooManyEntries { descriptor, given });
        }
        for (entry, Entry { key, .. }) in self.entries.iter().enumerate() {
            if key.len() > MAX_KEY_BYTES {
                return Err(InvalidRequest::LongKey { descriptor, entry, bytes: key.len() });
            }
        }
        if let Some(hits) = self.hits.filter(|hits| *hits > MAX_AMOUNT && *hits != NOT_A_NUMBER) {
            return Err(InvalidRequest::TooManyHits { descriptor, hits });
        }
        match self.number {
            Some(Override { unit: WireUnit::Unknown, .. }) => Err(InvalidRequest::NoUnit { descriptor }),
            _ => Ok(()),
        }
    }

    /// Whether it has a weight of its own that is no number.
    pub fn is_of_unknown_weight(&self) -> bool {
        self.hits == Some(NOT_A_NUMBER)
    }

    /// Checks what native domains ask for beyond [`CheckRequest::validate`].
    pub fn validate_native(&self, descriptor: usize) -> Result<(), InvalidRequest> {
        if self.entries.is_empty() {
            return Err(InvalidRequest::NoEntries { descriptor });
        }
        for (entry, Entry { key, .. }) in self.entries.iter().enumerate() {
            if key.is_empty() {
                return Err(InvalidRequest::EmptyKey { descriptor, entry });
            }
            if self.entries[..entry].iter().any(|earlier| earlier.key == *key) {
                return Err(InvalidRequest::RepeatedKey { descriptor, entry });
            }
        }
        Ok(())
    }
}
