//! The places of a listener: how many there are, and how many of them one address may take.
//!
//! Whoever has one address of an IPv6 network has them all, so that they count together. This machine is no stranger:
//! probes, and ports that are passed on, come from there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::network;

/// The places of a listener. All clones are one.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    /// Of one address; `None`: as many as there are.
    most_of_one: Option<usize>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// By those whose number is bounded.
    by: HashMap<IpAddr, usize>,
}

/// A place, for as long as this lives.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    by: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// This address has as many as it may have.
    Of(IpAddr),
}

impl Places {
    /// So many, of which one address may take so many.
    pub(super) fn new(most: usize, most_of_one: Option<usize>) -> Self {
        Self(Arc::new(Shared { most, most_of_one, taken: Mutex::default() }))
    }

    /// Takes one for somebody at `address`.
    pub(super) fn take(&self, address: Option<IpAddr>) -> Result<Place, Full> {
        let shared = &self.0;
        let by = address.map(network).filter(|by| shared.most_of_one.is_some() && !by.is_loopback());
        let mut taken = shared.taken.lock();
        if taken.all >= shared.most {
            return Err(Full::All);
        }
        if let Some(by) = by {
            let count = taken.by.get(&by).copied().unwrap_or_default();
            if shared.most_of_one.is_some_and(|most| count >= most) {
                return Err(Full::Of(by));
            }
            taken.by.insert(by, count + 1);
        }
        taken.all += 1;
        Ok(Place { places: self.clone(), by })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken.lock();
        taken.all -= 1;
        if let Some(Entry::Occupied(mut count)) = self.by.map(|by| taken.by.entry(by)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn one_address_takes_no_more_than_its_own() {
        let places = Places::new(8, Some(2));
        let mut held = Vec::new();
        for stranger in ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"] {
            held.push(places.take(at(stranger)));
        }
        assert_eq!(held[2].as_ref().unwrap_err(), &Full::Of(at("10.0.0.1").unwrap()));
        for (network, is_let) in [("2001:db8::1", true), ("2001:db8::ffff:2", true), ("2001:db8::3", false)] {
            let taken = places.take(at(network));
            assert_eq!(taken.is_ok(), is_let, "{network}");
            held.push(taken);
        }
        // Another network of the same provider, and the kubelet.
        held.push(places.take(at("2001:db8:0:1::1")));
        held.push(places.take(at("10.0.0.2")));
        assert!(held[6].is_ok() && held[7].is_ok());
        held.remove(0).unwrap();
        assert!(places.take(at("10.0.0.1")).is_ok(), "once one is given back");
    }

    #[test]
    fn this_machine_takes_what_there_is() {
        let places = Places::new(4, Some(1));
        let held: Vec<_> =
            ["127.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1"].map(|near| places.take(at(near))).into();
        assert!(held.iter().all(Result::is_ok), "{held:?}");
        assert_eq!(places.take(at("10.0.0.1")).unwrap_err(), Full::All);
        drop(held);
        assert_eq!(places.0.taken.lock().all, 0);
        let held: Vec<_> = (0..4).map(|_| Places::new(4, None).take(at("10.0.0.1"))).collect();
        assert!(held.iter().all(Result::is_ok), "nobody is bounded");
    }
}
