//! The grammar, by tables of what it takes and what it refuses.

use super::{Aligned, Forgets, InvalidForm, Quantity, ShortForm, short_form};
use crate::calendar::Period;
use crate::clock::Micros;
use crate::limits::{MAX_AMOUNT, Number, Subjects, Unit};

const NOTHING: Quantity = Quantity { number: None, unit: None };
const UNLIMITED: Quantity = Quantity { number: Some(Number::Unlimited), unit: None };

const fn at_most(most: u64) -> Quantity {
    Quantity { number: Some(Number::AtMost(most)), unit: None }
}

const fn tokens(most: u64) -> Quantity {
    Quantity { number: Some(Number::AtMost(most)), unit: Some(Unit::Tokens) }
}

const fn dollars(most: u64) -> Quantity {
    Quantity { number: Some(Number::AtMost(most * 1_000_000_000)), unit: Some(Unit::Money) }
}

fn secs(seconds: u64) -> Option<Forgets> {
    Some(Forgets::After(Micros::from_secs(seconds)))
}

fn per(parts: &[&[&str]]) -> Option<Subjects> {
    let part = |keys: &&[&str]| keys.iter().map(|key| key.as_bytes().into()).collect();
    Some(Subjects { parts: parts.iter().map(part).collect() })
}

fn form(quantity: Quantity, window: Option<Forgets>) -> ShortForm {
    ShortForm { quantity, window, ..ShortForm::default() }
}

#[test]
fn takes_amounts_and_windows() {
    let month = Some(Forgets::Calendar(Period::Month));
    for (text, expected) in [
        ("", form(NOTHING, None)),
        ("60", form(at_most(60), None)),
        ("2M", form(at_most(2_000_000), None)),
        ("1G", form(at_most(1_000_000_000), None)),
        ("40k tokens", form(tokens(40_000), None)),
        ("$5.00", form(dollars(5), None)),
        ("-1", form(UNLIMITED, None)),
        ("unlimited", form(UNLIMITED, None)),
        ("0", form(at_most(0), None)),
        ("blocked", form(at_most(0), None)),
        ("9007199254740991", form(at_most(MAX_AMOUNT), None)),
        ("5/15m", form(at_most(5), secs(900))),
        ("5 / 15m", form(at_most(5), secs(900))),
        ("5 15m", form(at_most(5), secs(900))),
        ("1m", form(NOTHING, secs(60))),
        ("1M/1m", form(at_most(1_000_000), secs(60))),
        ("1/1s", form(at_most(1), secs(1))),
        ("1/366d", form(at_most(1), secs(31_622_400))),
        ("month", form(NOTHING, month)),
        ("3/month", form(at_most(3), month)),
        ("3/day", form(at_most(3), Some(Forgets::Calendar(Period::Day)))),
        ("3/week", form(at_most(3), Some(Forgets::Calendar(Period::Week)))),
        ("3/year", form(at_most(3), Some(Forgets::Calendar(Period::Year)))),
        ("tokens/month", form(Quantity { number: None, unit: Some(Unit::Tokens) }, month)),
        ("$/month", form(Quantity { number: None, unit: Some(Unit::Money) }, month)),
        ("unlimited/month", form(UNLIMITED, month)),
        ("-1/month", form(UNLIMITED, month)),
        ("10 concurrent", form(at_most(10), Some(Forgets::Concurrent))),
        ("concurrent", form(NOTHING, Some(Forgets::Concurrent))),
        ("50 total", form(at_most(50), Some(Forgets::Total))),
        ("$5.00 total", form(dollars(5), Some(Forgets::Total))),
        ("40k tokens total", form(tokens(40_000), Some(Forgets::Total))),
        ("10/request", form(at_most(10), Some(Forgets::Request))),
        ("request", form(NOTHING, Some(Forgets::Request))),
    ] {
        assert_eq!(short_form(text).as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn takes_what_stands_behind() {
    for (text, expected) in [
        ("100/1m fixed", ShortForm { aligned: Aligned::Fixed, ..form(at_most(100), secs(60)) }),
        ("10/1s burst 20", ShortForm { burst: Some(at_most(20)), ..form(at_most(10), secs(1)) }),
        (
            "40k tokens/1m burst 60k",
            ShortForm { burst: Some(at_most(60_000)), ..form(tokens(40_000), secs(60)) },
        ),
        ("$1/1m burst $2", ShortForm { burst: Some(dollars(2)), ..form(dollars(1), secs(60)) }),
        ("5/15m per email|ip", ShortForm { per: per(&[&["email", "ip"]]), ..form(at_most(5), secs(900)) }),
        (
            "total per user+kit",
            ShortForm { per: per(&[&["user"], &["kit"]]), ..form(NOTHING, Some(Forgets::Total)) },
        ),
        (
            "1m per user | ip + kit",
            ShortForm { per: per(&[&["user", "ip"], &["kit"]]), ..form(NOTHING, secs(60)) },
        ),
        (
            "$2000/month per all",
            ShortForm { per: per(&[]), ..form(dollars(2000), Some(Forgets::Calendar(Period::Month))) },
        ),
        (
            "10/1s burst 21 per ip",
            ShortForm { burst: Some(at_most(21)), per: per(&[&["ip"]]), ..form(at_most(10), secs(1)) },
        ),
        ("per ip", ShortForm { per: per(&[&["ip"]]), ..form(NOTHING, None) }),
    ] {
        assert_eq!(short_form(text).as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn refuses_with_a_fix() {
    for (text, message, fix) in [
        ("5/", "nothing stands behind the '/'", "'5/15m'"),
        ("5/60", "the window '60' has no unit", "write 60s"),
        ("5/1M", "'1M' is not a window", "did you mean '1m'?"),
        ("5/mnth", "'mnth' is not a window", "did you mean 'month'?"),
        ("5/days", "'days' is not a window", "did you mean 'day'?"),
        ("5/1w", "'1w' is not a window", "s, m, h, d"),
        ("5/0s", "'0s' is out of bounds", "1s to 366d"),
        ("5/367d", "'367d' is out of bounds", "1s to 366d"),
        ("5/99999999999999999999s", "is out of bounds", "1s to 366d"),
        ("5/1.5m", "'1.5m' is not a window", "15m"),
        ("5/-1m", "'-1m' is not a window", "15m"),
        ("5/15m/2", "'15m/2' is not a window", "15m"),
        ("10 concurent", "'concurent' is not a window", "did you mean 'concurrent'?"),
        ("ten/1m", "'ten' is not an amount", "whole number"),
        ("-2/1m", "'-2' is not an amount", "-1 for unlimited"),
        ("1.5/1m", "'1.5' is not an amount", "whole number"),
        ("1e3/1m", "'1e3' is not an amount", "whole number"),
        ("NaN/1m", "'NaN' is not an amount", "whole number"),
        ("1_000/1m", "'1_000' is not an amount", "whole number"),
        ("017/1m", "'017' begins with a zero", "write 17"),
        ("unlimted/1m", "'unlimted' is not an amount", "did you mean 'unlimited'?"),
        ("9007199254740992/1m", "is above the largest amount", "smaller"),
        ("99999999999999999999/1m", "is above the largest amount", "smaller"),
        ("10000000G/1m", "is above the largest amount", "smaller"),
        ("$9000000.01/1d", "is above the largest amount of money", "$9000000"),
        ("$0.0000000001/1d", "more than nine decimals", "nine decimals"),
        ("$1,000/1d", "is not an amount of dollars", "$5.00"),
        ("5 apples/1m", "'apples' is no unit", "tokens"),
        ("5 token/1m", "'token' is no unit", "did you mean 'tokens'?"),
        ("5/1m fixed fixed", "'fixed' stands twice", "keep one"),
        ("5/1m fixed 3", "'3' behind 'fixed'", "100/1m fixed"),
        ("5/1m burst", "'burst' has no amount", "burst 20"),
        ("5/1m burst many", "'many' is not an amount", "whole number"),
        ("5/1m per", "'per' names nobody", "per user"),
        ("5/1m per user|", "a subject has no name", "'user|ip'"),
        ("5/1m per user+user", "'user' stands twice", "keep one"),
        ("5/1m per all|ip", "'all' stands beside", "alone"),
        ("5/1m per remote_address", "is read as 'ip'", "write 'ip'"),
        ("5/1m per user ip", "'user ip' is not the key", "'user|ip'"),
        ("5/1m slowly", "'1m slowly' is not a window", "15m"),
    ] {
        let InvalidForm { message: said, fix: advice } = short_form(text).expect_err(text);
        assert!(said.contains(message), "{text}: {said}");
        assert!(advice.contains(fix), "{text}: {advice}");
    }
}
