//! What tokens cost, by class, instant and the names that callers give.

use super::{Class, Cost, CostError, Entry, KnownCost, Model, PriceTable, Step, Tokens, Unknown, Version};
use crate::clock::Timestamp;
use crate::money::{MAX_AMOUNT, NanoUsd};

fn version(from: u64, prices: &[(Class, &str)]) -> Version {
    let prices = prices.iter().map(|(class, price)| (*class, NanoUsd::parse_decimal(price).unwrap()));
    Version { set_by: None, from: Timestamp(from), prices: prices.collect(), steps: Vec::new() }
}

fn model(name: &str, versions: &[Version]) -> Model {
    Model { name: name.into(), aliases: Vec::new(), versions: versions.to_vec() }
}

fn table(unknown: Unknown) -> PriceTable {
    let realtime = [
        (Class::Input, "100.00"),
        (Class::Output, "200.00"),
        (Class::AudioInput, "100.00"),
        (Class::AudioOutput, "200.00"),
    ];
    let mini = [(Class::Input, "0.15"), (Class::Output, "0.60"), (Class::CachedInput, "0.075")];
    let free = [(Class::Input, "0"), (Class::Output, "0.00")];
    let dear = [(Class::Input, "10.00"), (Class::Output, "30.00")];
    let cheap = [(Class::Input, "1.25"), (Class::Output, "10.00")];
    let models = vec![
        Model {
            aliases: vec!["Voice".into()],
            ..model("gpt-realtime", &[version(0, &realtime), version(2_000, &realtime)])
        },
        model("gpt-4o-mini", &[version(0, &mini)]),
        model("local", &[version(0, &free)]),
        model("gpt-5", &[version(1_000, &dear), version(2_000, &cheap)]),
    ];
    PriceTable::new(unknown, models)
}

fn tokens(counts: &[(Class, u64)]) -> Tokens {
    let mut tokens = Tokens::default();
    counts.iter().for_each(|(class, count)| tokens.add(*class, *count).unwrap());
    tokens
}

/// The nano-USD of `counts`, and by which entry.
fn cost(unknown: Unknown, model: &str, counts: &[(Class, u64)], at: u64) -> Result<(u64, String), CostError> {
    let table = table(unknown);
    let Cost { nanos, entry, at_highest } = table.cost(model.as_bytes(), &tokens(counts), Timestamp(at))?;
    let entry = entry.map_or("none".to_owned(), |Entry { model, version }| format!("{model} {version}"));
    Ok((nanos, if at_highest { entry + " highest" } else { entry }))
}

#[test]
fn a_call_costs_the_sum_of_its_classes() {
    for (model, counts, expected) in [
        ("gpt-realtime", &[(Class::Input, 10_000), (Class::Output, 20_000)][..], 5_000_000_000),
        ("gpt-realtime", &[(Class::Input, 10_000), (Class::Output, 20_001)], 5_000_200_000),
        ("gpt-4o-mini", &[(Class::Input, 1)], 150),
        ("gpt-4o-mini", &[(Class::CachedInput, 1_000), (Class::Input, 1)], 75_150),
        ("local", &[(Class::Input, 1_000_000)], 0),
        ("gpt-4o-mini", &[], 0),
    ] {
        assert_eq!(cost(Unknown::Deny, model, counts, 0).unwrap().0, expected, "{model} {counts:?}");
    }
}

#[test]
fn a_sum_is_rounded_once_and_up() {
    let fine = [(Class::Input, "0.000000001"), (Class::Output, "0.000000001")];
    let table = PriceTable::new(Unknown::Deny, vec![model("fine", &[version(0, &fine)])]);
    for (input, output, expected) in
        [(0, 0, 0), (1, 0, 1), (1, 1, 1), (500_000, 500_000, 1), (500_000, 500_001, 2)]
    {
        let tokens = tokens(&[(Class::Input, input), (Class::Output, output)]);
        assert_eq!(table.cost(b"fine", &tokens, Timestamp(0)).unwrap().nanos, expected);
    }
}

#[test]
fn the_newest_version_that_has_begun_counts() {
    let million = [(Class::Output, 1_000_000)];
    for (at, expected) in [
        (0, Err(CostError::UnknownModel)),
        (999, Err(CostError::UnknownModel)),
        (1_000, Ok((30_000_000_000, "gpt-5 1".to_owned()))),
        (1_999, Ok((30_000_000_000, "gpt-5 1".to_owned()))),
        (2_000, Ok((10_000_000_000, "gpt-5 2".to_owned()))),
        (u64::MAX, Ok((10_000_000_000, "gpt-5 2".to_owned()))),
    ] {
        assert_eq!(cost(Unknown::Deny, "gpt-5", &million, at), expected, "at {at}");
    }
}

#[test]
fn what_is_set_over_a_file_leaves_its_versions_their_numbers() {
    let dear = [(Class::Output, "20")];
    for record in [2, 4] {
        let set = Version { set_by: Some(record), ..version(1_500, &dear) };
        let table = table(Unknown::Deny).with(vec![("GPT-5", set)]);
        let called = |at| {
            let cost = table.cost(b"gpt-5", &tokens(&[(Class::Output, 1)]), Timestamp(at)).unwrap();
            cost.entry.unwrap().version
        };
        assert_eq!([1_499, 1_500, 2_000].map(called), [1, 1_000_000 + record, 2]);
    }
}

#[test]
fn much_input_makes_the_whole_call_dearer() {
    let step = |above, prices: &[(Class, &str)]| Step { above, prices: version(0, prices).prices };
    let long =
        [step(200, &[(Class::Input, "2"), (Class::Output, "20")]), step(1_000, &[(Class::Input, "4")])];
    let first = version(0, &[(Class::Input, "1"), (Class::CachedInput, "0.5"), (Class::Output, "10")]);
    let models = vec![model("long", &[Version { steps: long.to_vec(), ..first }])];
    let cost = |unknown, name: &str, counts: &[(Class, u64)]| {
        let table = PriceTable::new(unknown, models.clone());
        table.cost(name.as_bytes(), &tokens(counts), Timestamp(0)).map(|cost| cost.nanos / 1_000)
    };
    let of_long = |counts: &[(Class, u64)]| cost(Unknown::Deny, "long", counts);
    for (cached, expected) in [(199, 1 + 99 + 1_000), (200, 2 + 400 + 2_000), (999, 2 + 1_998 + 2_000)] {
        let counts = [(Class::Input, 1), (Class::CachedInput, cached), (Class::Output, 100)];
        assert_eq!(of_long(&counts), Ok(expected), "all input counts: 1 + {cached}");
    }
    assert_eq!(of_long(&[(Class::Output, 100_000)]), Ok(1_000_000), "an answer is no input");
    assert_eq!(of_long(&[(Class::Input, 1_001)]), Ok(4_004));
    let beyond = [(Class::Input, 1_001), (Class::Reasoning, 1)];
    assert_eq!(of_long(&beyond), Err(CostError::UnpricedClass(Class::Reasoning)));
    assert_eq!(cost(Unknown::Highest, "other", &[(Class::Input, 201)]), Ok(402));
}

#[test]
fn a_class_without_a_price_costs_what_a_dearer_one_does_or_is_refused() {
    for (class, expected) in [
        (Class::CachedInput, Ok(10_000_000_000)),
        (Class::Reasoning, Ok(30_000_000_000)),
        (Class::CacheWrite, Err(CostError::UnpricedClass(Class::CacheWrite))),
        (Class::AudioInput, Err(CostError::UnpricedClass(Class::AudioInput))),
        (Class::AudioOutput, Err(CostError::UnpricedClass(Class::AudioOutput))),
        (Class::AudioCachedInput, Err(CostError::UnpricedClass(Class::AudioCachedInput))),
        (Class::Image, Err(CostError::UnpricedClass(Class::Image))),
    ] {
        let found = cost(Unknown::Deny, "gpt-5", &[(class, 1_000_000)], 1_000);
        assert_eq!(found.map(|found| found.0), expected, "{class:?}");
    }
    let audio = cost(Unknown::Deny, "gpt-realtime", &[(Class::AudioCachedInput, 1_000_000)], 0);
    assert_eq!(audio.unwrap().0, 100_000_000_000);
}

#[test]
fn what_is_unknown_is_refused_or_dearest() {
    let both = [(Class::Input, 10_000), (Class::Output, 20_000)];
    assert_eq!(cost(Unknown::Deny, "gpt-6", &both, 0), Err(CostError::UnknownModel));
    assert_eq!(cost(Unknown::Deny, "", &[], 0), Err(CostError::UnknownModel));
    let dearest = |text: &str| Ok((5_000_000_000, text.to_owned()));
    assert_eq!(cost(Unknown::Highest, "gpt-6", &both, 0), dearest("none highest"));
    assert_eq!(cost(Unknown::Highest, "gpt-5", &both, 999), dearest("none highest"), "no prices yet");
    let audio = [(Class::AudioOutput, 25_000)];
    assert_eq!(cost(Unknown::Highest, "gpt-5", &audio, 1_000), dearest("gpt-5 1 highest"));
    let image = cost(Unknown::Highest, "gpt-5", &[(Class::Image, 1)], 1_000);
    assert_eq!(image, Err(CostError::UnpricedClass(Class::Image)), "nobody has a price for it");
    let empty = PriceTable::new(Unknown::Highest, Vec::new());
    let nothing = empty.cost(b"gpt-5", &Tokens::default(), Timestamp(0));
    assert_eq!(nothing, Err(CostError::UnknownModel), "there is no dearest");
}

#[test]
fn a_price_is_as_old_as_those_that_it_is_made_of() {
    let tokens = tokens(&[(Class::Input, 1)]);
    let image = self::tokens(&[(Class::Image, 1)]);
    for (unknown, model, tokens, at, expected) in [
        (Unknown::Deny, "gpt-realtime", &tokens, 1_999, 0),
        (Unknown::Deny, "voice", &tokens, 2_000, 2_000),
        (Unknown::Deny, "gpt-4o-mini", &tokens, 2_000, 0),
        (Unknown::Deny, "gpt-5", &tokens, 1_500, 1_000),
        (Unknown::Deny, "gpt-5", &image, 1_500, 1_000),
        (Unknown::Deny, "gpt-5", &tokens, 999, 0),
        (Unknown::Deny, "gpt-6", &tokens, 2_000, 0),
        (Unknown::Highest, "gpt-4o-mini", &tokens, 2_000, 0),
        (Unknown::Highest, "gpt-4o-mini", &image, 2_000, 2_000),
        (Unknown::Highest, "gpt-6", &tokens, 2_000, 2_000),
        (Unknown::Highest, "gpt-5", &tokens, 999, 0),
    ] {
        let found = table(unknown).unchanged_since(model.as_bytes(), tokens, Timestamp(at));
        assert_eq!(found, Timestamp(expected), "{unknown:?} {model} {at}");
    }
}

#[test]
fn what_is_known_of_several_models_is_summed_up_and_rounded_once() {
    let fine = [(Class::Input, "0.000000001")];
    let models = ["fine", "finer"].map(|name| model(name, &[version(0, &fine)]));
    let table = PriceTable::new(Unknown::Deny, models.to_vec());
    let (half, image) = (tokens(&[(Class::Input, 500_000)]), tokens(&[(Class::Image, 7)]));
    let both = tokens(&[(Class::Input, 1_000_000), (Class::Image, 7)]);
    for (used, nanos, unpriced) in [
        (&[(&b"fine"[..], &half), (b"finer", &half)][..], 1, None),
        (&[(b"else", &half), (b"fine", &half), (b"finer", &half)], 1, Some(CostError::UnknownModel)),
        (&[(b"fine", &both)], 1, Some(CostError::UnpricedClass(Class::Image))),
        (&[(b"fine", &image), (b"else", &half)], 0, Some(CostError::UnpricedClass(Class::Image))),
        (&[(b"else", &Tokens::default())], 0, None),
        (&[], 0, None),
    ] {
        let found = table.known_cost(used.iter().copied(), Timestamp(0));
        assert_eq!(found, KnownCost { nanos, unpriced }, "{used:?}");
    }
}

#[test]
fn callers_may_call_a_model_by_more_than_its_name() {
    let table = table(Unknown::Deny);
    for (name, expected) in [
        ("gpt-5", Some("gpt-5")),
        ("GPT-5", Some("gpt-5")),
        ("voice", Some("gpt-realtime")),
        ("openai/VOICE-2025-08-28", Some("gpt-realtime")),
        ("gpt-5-nano", None),
        ("", None),
    ] {
        let found = table.model(name.as_bytes()).map(|model| &*model.name);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_cost_beyond_counting_is_said() {
    let at_most = [(Class::Output, MAX_AMOUNT / 200_000)];
    assert!(cost(Unknown::Deny, "gpt-realtime", &at_most, 0).is_ok());
    for count in [MAX_AMOUNT / 200_000 + 1, MAX_AMOUNT] {
        let found = cost(Unknown::Deny, "gpt-realtime", &[(Class::Output, count)], 0);
        assert_eq!(found, Err(CostError::TooLarge));
    }
}
